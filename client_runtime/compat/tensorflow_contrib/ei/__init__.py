"""`tensorflow.contrib.ei`: the home of Elastic Inference in the TensorFlow 1 that AWS built."""
