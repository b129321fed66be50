"""Measures this project against floors and peers, in turns, in one run: `python -m benchmarks`."""
