"""The examples of a request as the string tensor that a graph parses.

Pure.
"""

from __future__ import annotations

import numpy as np

from accel_protocol.tensors import Array
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.inference_pb2 import Input


def serialized(given: Input) -> Array:
    """Each example's bytes, shape [examples]; what all share comes before each one's own.

    Raises:
        ServingError: there are none.
    """
    context = b""
    if given.WhichOneof("kind") == "example_list_with_context":
        # Messages are merged by putting their bytes one after the other.
        context = given.example_list_with_context.context.SerializeToString()
        examples = given.example_list_with_context.examples
    else:
        examples = given.example_list.examples
    if not examples:
        raise invalid("Input is empty.")
    array: Array = np.empty(len(examples), dtype=object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array
