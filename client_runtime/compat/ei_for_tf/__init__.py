"""The package `ei_for_tf`: the import path of Elastic Inference from TensorFlow 2.0 on."""
