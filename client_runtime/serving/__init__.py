"""`accel serve`: TensorFlow Serving's door in front of the accelerator.

`models/` decides which versions are loaded and loads them, `inference/` answers requests with what
is loaded, `rest/` and `grpc/` carry requests in and answers out, `telemetry/` tells what happened.
"""
