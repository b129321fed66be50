"""`tf.contrib.util`, which clients of TensorFlow Serving make their requests with."""

import tensorflow as tf

make_ndarray = tf.make_ndarray
make_tensor_proto = tf.make_tensor_proto

__all__ = ["make_ndarray", "make_tensor_proto"]
