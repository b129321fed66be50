"""Element types: the wire's numbers, NumPy's types, TensorFlow's names.

The numbers are TensorFlow's own (tensorflow/core/framework/types.proto), so a signature's dtype is
usable as it is. bfloat16 comes from `ml_dtypes`, the package TensorFlow itself uses for it.
"""

from __future__ import annotations

import functools

import ml_dtypes
import numpy as np

from accel_protocol.errors import FeedError

STRING = 7

_NUMPY: dict[int, np.dtype[np.generic]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    STRING: np.dtype(object),
    8: np.dtype(np.complex64),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    14: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(np.uint16),
    18: np.dtype(np.complex128),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_NUMBERS = {dtype: number for number, dtype in _NUMPY.items() if number != STRING}


def supported() -> tuple[int, ...]:
    """All numbers that can travel."""
    return tuple(_NUMPY)


@functools.cache
def numpy_of(number: int) -> np.dtype[np.generic]:
    """NumPy's dtype of a wire number; strings are object arrays of `bytes`.

    Raises:
        FeedError: the number is none that can travel.
    """
    if number not in _NUMPY:
        raise FeedError(f"Element type {number} cannot be sent to an accelerator.")
    return _NUMPY[number]


def number_of(dtype: np.dtype[np.generic]) -> int:
    """The wire number of a NumPy dtype; object, bytes and str arrays are strings.

    Raises:
        FeedError: NumPy has the type and TensorFlow does not, for instance datetime64.
    """
    if dtype.kind in "OSU":
        return STRING
    number = _NUMBERS.get(dtype.newbyteorder("="))
    if number is None:
        raise FeedError(f"Arrays of dtype {dtype} cannot be sent to an accelerator.")
    return number


def name_of(number: int) -> str:
    """TensorFlow's name of a wire number, for instance "float32" or "string"."""
    if number == STRING:
        return "string"
    return str(numpy_of(number).name)
