"""`tensorflow.contrib.ei.python.keras`."""
