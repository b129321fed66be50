"""A tensor as bytes: little-endian elements in row-major order; strings are length-prefixed.

Encoding makes no copy of an array that is already contiguous and little-endian. Decoding makes none
either: it answers a read-only view of the bytes it was given, and the caller copies if it must.
"""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from accel_protocol import dtypes
from accel_protocol.errors import FeedError, StreamError
from accel_protocol.limits import Limits

Array = npt.NDArray[np.generic]
Buffer = bytes | bytearray | memoryview

_LENGTH = struct.Struct("<I")


class TensorHeader(NamedTuple):
    """Name, dtype number, shape and extent in bytes of one tensor in a payload."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    size: int


def encode(name: str, value: Array) -> tuple[TensorHeader, Buffer]:
    """Header and bytes of an array; the bytes share the array's memory where they can.

    Raises:
        FeedError: a dtype that cannot travel, or a string element that is neither bytes nor str.
    """
    number = dtypes.number_of(value.dtype)
    if number == dtypes.STRING:
        data: Buffer = _encode_strings(value)
    else:
        data = _raw_bytes(value)
    return TensorHeader(name, number, value.shape, len(data)), data


def _raw_bytes(value: Array) -> memoryview:
    big_endian = value.dtype.byteorder == ">" or (
        value.dtype.byteorder == "=" and sys.byteorder == "big"
    )
    if big_endian:
        value = value.astype(value.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(value).reshape(-1)
    # Through uint8, because bfloat16 has no buffer format of its own.
    return flat.view(np.uint8).data


def _encode_strings(value: Array) -> bytes:
    parts: list[bytes] = []
    for element in value.reshape(-1).tolist():
        encoded = _as_bytes(element)
        parts.append(_LENGTH.pack(len(encoded)))
        parts.append(encoded)
    return b"".join(parts)


def _as_bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode("utf-8")
        except UnicodeEncodeError:
            raise FeedError("A string element has no UTF-8 form.") from None
    raise FeedError(f"A string tensor holds bytes or str, not {type(element).__name__}.")


def elements_of(shape: Sequence[int]) -> int:
    """How many elements a shape has; 1 for a scalar."""
    return math.prod(shape)


def check_header(header: TensorHeader, limits: Limits) -> None:
    """Refuse a header that no honest peer sends, before anything is allocated for it.

    Raises:
        LimitError: rank or elements above the limits.
        StreamError: the announced size does not fit dtype and shape.
        FeedError: an unknown dtype.
    """
    limits.check("tensor_rank", len(header.shape))
    elements = elements_of(header.shape)
    # A size of 0 must not hide the others: NumPy cannot hold them all the same.
    limits.check("tensor_elements", math.prod(max(size, 1) for size in header.shape))
    if header.dtype == dtypes.STRING:
        fits = header.size >= elements * _LENGTH.size and (elements > 0 or header.size == 0)
    else:
        fits = header.size == elements * dtypes.numpy_of(header.dtype).itemsize
    if not fits:
        raise StreamError(f"Tensor {header.name!r} announces {header.size} bytes for {elements}.")


def decode(header: TensorHeader, data: Buffer) -> Array:
    """The array that `data` holds: a read-only view, except strings, which are copied.

    Raises:
        StreamError: string lengths that do not add up to the announced size, or truth values that
            are neither 0 nor 1.
    """
    if header.dtype == dtypes.STRING:
        return _decode_strings(header, memoryview(data))
    array = np.frombuffer(data, dtype=dtypes.numpy_of(header.dtype)).reshape(header.shape)
    if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
        raise StreamError(f"Tensor {header.name!r} has truth values other than 0 and 1.")
    return array if sys.byteorder == "little" else array.byteswap()


def _decode_strings(header: TensorHeader, data: memoryview) -> Array:
    count = elements_of(header.shape)
    result = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        start = position + _LENGTH.size
        if start > len(data):
            raise StreamError(f"String tensor {header.name!r} ends inside element {index}.")
        position = start + _LENGTH.unpack_from(data, position)[0]
        if position > len(data):
            raise StreamError(f"String tensor {header.name!r} ends inside element {index}.")
        result[index] = bytes(data[start:position])
    if position != len(data):
        raise StreamError(f"String tensor {header.name!r} has bytes after its last element.")
    return result.reshape(header.shape)
