"""A real `accel serve` under load, while versions roll and accelerators are killed.

`python -m tests.serving_load` does it as long as wanted; the tests of integration do less of it.
"""
