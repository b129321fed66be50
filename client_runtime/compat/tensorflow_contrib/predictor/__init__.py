"""`tf.contrib.predictor`: TensorFlow's local predictor, from which EIPredictor descends."""

from client_runtime.compat.ei_predictor import from_saved_model

__all__ = ["from_saved_model"]
