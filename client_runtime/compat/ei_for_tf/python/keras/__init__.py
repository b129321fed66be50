"""`ei_for_tf.python.keras`."""
