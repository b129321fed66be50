"""Tensors of JSON values: nested lists of one size per level.

Lists as they should be are turned into an array at once. All others, and elements of the wrong
kind, are gone through one by one, for the words in which TensorFlow Serving refuses them.
Pure.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.rest import base64_objects
from client_runtime.serving.rest.json_grammar import TOO_BIG
from client_runtime.serving.rest.json_text import debug_text, type_name
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.tensors_pb2 import DataType

# NumPy 1 has no arrays of more.
MOST_DIMENSIONS = 32

_BOOL = 10
_FLOATS = (1, 2, 14, 19)  # half and bfloat16 too, which TensorFlow Serving refuses
_INT32 = (-(2**31), 2**31 - 1)
# Smaller integers have no narrower range: TensorFlow Serving cuts them off.
_RANGES = {
    **dict.fromkeys((3, 4, 5, 6, 17), _INT32),
    9: (-(2**63), 2**63 - 1),
    22: (0, 2**32 - 1),
    23: (0, 2**64 - 1),
}


def dtype_name(dtype: int) -> str:
    """TensorFlow's name of an element type, for instance "float" or "half"."""
    try:
        return DataType.Name(dtype).removeprefix("DT_").lower()  # type: ignore[arg-type]
    except ValueError:
        return f"unknown dtype enum ({dtype})"


def read_tensor(value: Any, dtype: int) -> Array:
    """The array of a scalar or of nested lists.

    Raises:
        ServingError: lists of unequal sizes, or elements of another type.
    """
    array = quickly(value, dtype)
    if array is not None:
        return array
    leaves: list[Any] = []
    shape = read_exactly(value, dtype, leaves)
    return assembled(leaves, dtype, shape)


def quickly(value: Any, dtype: int) -> Array | None:
    """The array of a value that is as it should be; None for all others."""
    shape: list[int] = []
    items = [value]
    while items and list in (types := set(map(type, items))):
        sizes = set(map(len, items)) if len(types) == 1 else set()
        if len(sizes) != 1 or len(shape) == MOST_DIMENSIONS:
            return None
        shape.append(sizes.pop())
        items = list(chain.from_iterable(items))
    flat = _flat(items, dtype)
    return None if flat is None else flat.reshape(shape)


def _flat(leaves: list[Any], dtype: int) -> Array | None:
    types = set(map(type, leaves))
    try:
        if dtype in _FLOATS and types <= {int, float}:
            return _narrowed(np.array(leaves, np.float64), dtype)
        if dtype in _RANGES and types <= {int}:
            return _integers(leaves, dtype)
    except OverflowError:
        return None
    if dtype == _BOOL and types <= {bool}:
        return np.array(leaves, np.bool_)
    if dtype == dtypes.STRING and types <= {str, dict}:
        return _strings(leaves)
    return None


def _integers(leaves: list[int], dtype: int) -> Array | None:
    lowest, highest = _RANGES[dtype]
    if leaves and (min(leaves) < lowest or max(leaves) > highest):
        return None
    wide = np.array(leaves, np.uint64 if highest == 2**64 - 1 else np.int64)
    return wide.astype(dtypes.numpy_of(dtype))


def _narrowed(wide: Array, dtype: int) -> Array:
    """Floats of a type that may be narrower: too large ones become infinite."""
    with np.errstate(over="ignore"):
        return wide.astype(dtypes.numpy_of(dtype))


def _strings(leaves: list[Any]) -> Array | None:
    flat: Array = np.empty(len(leaves), object)
    for index, leaf in enumerate(leaves):
        if isinstance(leaf, dict) and not base64_objects.is_bytes(leaf):
            return None
        flat[index] = _string(leaf)
    return flat


def _string(leaf: Any) -> bytes:
    if isinstance(leaf, dict):
        return base64_objects.decode(leaf)
    try:
        return bytes(leaf.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def assembled(leaves: list[Any], dtype: int, shape: list[int]) -> Array:
    """The array of leaves that `read_exactly` has read.

    Raises:
        ServingError: too many dimensions.
    """
    if len(shape) > MOST_DIMENSIONS:
        raise _too_deep()
    if dtype == dtypes.STRING:
        flat: Array = np.empty(len(leaves), object)
        flat[:] = leaves
        return flat.reshape(shape)
    if dtype in _FLOATS:
        return _narrowed(np.array(leaves, np.float64), dtype).reshape(shape)
    wide = np.uint64 if dtype == 23 else np.bool_ if dtype == _BOOL else np.int64
    return np.array(leaves, wide).astype(dtypes.numpy_of(dtype)).reshape(shape)


def read_exactly(value: Any, dtype: int, leaves: list[Any]) -> list[int]:
    """Append a value's leaves, as they belong into an array; its shape.

    Raises:
        ServingError: as of `read_tensor`.
    """
    shape = _shape(value)
    _fill(value, 0, shape, dtype, leaves)
    return shape


def _shape(value: Any) -> list[int]:
    """The shape that the first element of each level tells."""
    shape: list[int] = []
    while isinstance(value, list):
        if len(shape) == MOST_DIMENSIONS:
            raise _too_deep()
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _too_deep() -> ServingError:
    return invalid(f"JSON Value has lists nested deeper than {MOST_DIMENSIONS} levels")


def _fill(value: Any, level: int, shape: list[int], dtype: int, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {debug_text(value)} found at incorrect level: {level + 1} in the "
                f"JSON DOM. Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: int) -> Any:
    """A leaf as an array of this type takes it."""
    if dtype == dtypes.STRING and isinstance(value, str | dict):
        return _string(value)
    if isinstance(value, dict):
        raise _type_error(value, dtype)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype in _FLOATS:
        if not number:
            raise _type_error(value, dtype)
        return as_float(value)
    if dtype in _RANGES:
        lowest, highest = _RANGES[dtype]
        if not number or isinstance(value, float) or not lowest <= value <= highest:
            raise _type_error(value, dtype)
        return value
    if dtype == _BOOL and isinstance(value, bool):
        return value
    if dtype in (_BOOL, dtypes.STRING):
        raise _type_error(value, dtype)
    raise ServingError(
        Status.UNIMPLEMENTED,
        f"Conversion of JSON Value: {debug_text(value)} to type: {dtype_name(dtype)}",
    )


def as_float(value: int | float) -> float:
    """A JSON number as a float.

    Raises:
        ServingError: it is too big.
    """
    try:
        return float(value)
    except OverflowError:
        raise invalid(f"JSON Parse error: {TOO_BIG}") from None


def _type_error(value: Any, dtype: int) -> ServingError:
    return invalid(
        f"JSON Value: {debug_text(value)} Type: {type_name(value)} is not of expected type: "
        f"{dtype_name(dtype)}"
    )
