"""Keras models: converted with the user's own Keras, run like any other model."""
