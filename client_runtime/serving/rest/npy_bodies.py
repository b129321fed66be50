"""Bodies that are one array in NumPy's .npy format: as fast as protobuf, without its messages.

Pure.
"""

from __future__ import annotations

import io
import math

import ml_dtypes
import numpy as np
from numpy.lib import format as npy

from accel_protocol.tensors import Array
from client_runtime.serving.rest.tensor_reading import MOST_DIMENSIONS
from client_runtime.serving.statuses import invalid

_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NUMBERS = "biufc"


def read_npy(body: bytes) -> Array:
    """The array of a body.

    What the header claims is held against the body's size before anything is allocated.

    Raises:
        ServingError: it is no .npy, or holds something else than numbers.
    """
    stream = io.BytesIO(body)
    try:
        shape, is_column_major, dtype = _HEADERS[npy.read_magic(stream)](stream)
    except Exception as error:  # headers are Python, and fail as Python does
        raise invalid(f"The body is no .npy of version 1 or 2: {error}") from None
    if len(shape) > MOST_DIMENSIONS:
        raise invalid(f"The body is an array of more than {MOST_DIMENSIONS} dimensions.")
    if dtype.kind not in _NUMBERS:
        raise invalid(f"The body is an array of {dtype}; it may be of numbers only.")
    start, size = stream.tell(), math.prod(shape)
    if len(body) - start != size * dtype.itemsize or min(shape, default=0) < 0:
        raise invalid(f"The body has {len(body) - start} bytes for an array of {shape} {dtype}.")
    flat = np.frombuffer(body, dtype, size, start).astype(dtype.newbyteorder("="), copy=False)
    return flat.reshape(shape, order="F" if is_column_major else "C")


def written_npy(arrays: dict[str, Array]) -> bytes:
    """The body of an answer of one array; bfloat16, which .npy does not have, becomes float32.

    Raises:
        ServingError: there are more, or it does not hold numbers.
    """
    if len(arrays) != 1:
        raise invalid(f"The signature has the outputs {', '.join(sorted(arrays))}; .npy has one.")
    ((name, array),) = arrays.items()
    if array.dtype == ml_dtypes.bfloat16:
        array = array.astype(np.float32)
    if array.dtype.kind not in _NUMBERS:
        raise invalid(f"The output {name} does not hold numbers, and .npy nothing else.")
    stream = io.BytesIO()
    npy.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()
