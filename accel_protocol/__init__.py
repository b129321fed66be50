"""What both sides must agree on to the bit, and nothing else.

Here are the generated wire messages, the tensor and frame encodings, the model bundle's manifest
and digest, request signing, the limits, and the errors. Both `accel_daemon` and `client_runtime`
import this package; it imports neither of them, and never TensorFlow.
"""
