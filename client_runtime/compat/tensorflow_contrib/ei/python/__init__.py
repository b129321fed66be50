"""`tensorflow.contrib.ei.python`."""
