"""What goes over TensorFlow Serving's wire: its messages and its tensors, without TensorFlow."""
