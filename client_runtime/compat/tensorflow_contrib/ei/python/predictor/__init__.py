"""`tensorflow.contrib.ei.python.predictor`."""
