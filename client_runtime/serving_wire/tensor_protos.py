"""NumPy arrays to TensorProto and back, as TensorFlow does it, without TensorFlow.

A TensorProto holds its elements in one of two ways: `tensor_content`, which is the array's memory
in little-endian order, or a repeated field for its dtype (`float_val`, `int_val`, …), where the
last value stands for all that follow, and none at all for zeros.

Floats, complex numbers and truth values are copied in one piece, since a packed field of these is
laid out as the array is; the other fields hold varints, which protobuf converts one by one.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from accel_protocol import dtypes
from accel_protocol.errors import FeedError
from client_runtime.serving_wire.tensors_pb2 import TensorProto, TensorShapeProto

Array = npt.NDArray[np.generic]

# Elements that a message may stand for without holding them: a GiB of the largest dtype.
MAX_FILLED = 2**26

# NumPy 1 has no arrays of more, and none whose bytes a 64-bit integer cannot count.
_MOST_DIMENSIONS = 32
_MOST_ELEMENTS = 2**58
# The wire's kinds of fields; fixed ones with their sizes. All that is left is a group's end.
_VARINT, _PACKED, _GROUP, _FIXED = 0, 2, 3, {1: 8, 5: 4}


class TensorProtoError(ValueError):
    """A TensorProto that is no tensor, or an array that TensorFlow has no tensor for."""


class _Layout(NamedTuple):
    """How one dtype travels.

    Attributes:
        element: NumPy's dtype of an element, as an array has it.
        field: name of the repeated field.
        stored: NumPy's dtype of a field's value.
        blocks: whether the packed field's bytes are the array's.
    """

    element: np.dtype[np.generic]
    field: str
    stored: np.dtype[np.generic]
    blocks: bool


def _layouts() -> dict[int, _Layout]:
    fields: dict[str, tuple[str, bool, tuple[int, ...]]] = {
        "float_val": ("<f4", True, (1,)),
        "double_val": ("<f8", True, (2,)),
        "int_val": ("i4", False, (3, 4, 5, 6, 17)),
        "string_val": ("O", False, (dtypes.STRING,)),
        "scomplex_val": ("<f4", True, (8,)),
        "int64_val": ("i8", False, (9,)),
        "bool_val": ("u1", True, (10,)),
        "half_val": ("i4", False, (14, 19)),
        "dcomplex_val": ("<f8", True, (18,)),
        "uint32_val": ("u4", False, (22,)),
        "uint64_val": ("u8", False, (23,)),
    }
    layouts = {
        number: _Layout(dtypes.numpy_of(number), field, np.dtype(stored), blocks)
        for field, (stored, blocks, numbers) in fields.items()
        for number in numbers
    }
    # Quantised numbers are read as the integers that they are stored as: NumPy has no such types.
    for number, element in {11: "i1", 12: "u1", 13: "i4", 15: "i2", 16: "u2"}.items():
        layouts[number] = _Layout(np.dtype(element), "int_val", np.dtype("i4"), False)
    return layouts


_LAYOUTS = _layouts()


def element_of(number: int) -> np.dtype[np.generic] | None:
    """NumPy's dtype of the elements of a wire number, None for one that cannot travel.

    Strings are objects, and quantised numbers the integers that they are stored as.
    """
    layout = _LAYOUTS.get(number)
    return layout and layout.element


def to_array(proto: TensorProto, max_elements: int = MAX_FILLED) -> Array:
    """The array that a TensorProto stands for; strings become an object array of `bytes`.

    It is read-only where it shares memory with the message's bytes. Nothing is allocated before
    dtype, shape and number of values are known to be right.

    Args:
        proto: what came.
        max_elements: of a tensor whose message does not hold them all. The others are bounded by
            the message's size.

    Raises:
        TensorProtoError: a dtype that cannot travel, a shape that is none or too large, more values
            than elements, or contents of another length.
    """
    layout = _LAYOUTS.get(proto.dtype)
    if layout is None:
        raise TensorProtoError(f"Element type {proto.dtype} cannot be read.")
    shape = _shape(proto.tensor_shape)
    count = math.prod(shape)
    if not proto.tensor_content:
        _check_count(proto, layout, count, max_elements)
    if layout.field == "string_val":
        flat = _strings(proto, count)
    elif proto.tensor_content:
        flat = _from_content(proto.tensor_content, layout.element, count)
    else:
        flat = _filled(proto, layout, count)
    return flat.reshape(shape)


def _shape(proto: TensorShapeProto) -> tuple[int, ...]:
    if proto.unknown_rank:
        raise TensorProtoError("The tensor's shape has no rank.")
    if len(proto.dim) > _MOST_DIMENSIONS:
        raise TensorProtoError(f"The tensor has {len(proto.dim)} dimensions.")
    shape = tuple(dim.size for dim in proto.dim)
    if any(size < 0 for size in shape):
        raise TensorProtoError(f"The tensor's shape {shape} has a negative size.")
    # A size of 0 must not hide the others: NumPy cannot hold them all the same.
    if math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise TensorProtoError(f"The tensor's shape {shape} is too large.")
    return shape


def _check_count(proto: TensorProto, layout: _Layout, count: int, max_elements: int) -> None:
    per_element = 2 if layout.element.kind == "c" else 1
    stored, rest = divmod(len(getattr(proto, layout.field)), per_element)
    if rest or stored > count:
        raise TensorProtoError(f"The tensor has {stored} values for {count} elements.")
    if stored < count and count > max_elements:
        raise TensorProtoError(f"The tensor has more than {max_elements} elements of few values.")


def _from_content(content: bytes, element: np.dtype[np.generic], count: int) -> Array:
    if len(content) != count * element.itemsize:
        raise TensorProtoError(
            f"The tensor's content has {len(content)} bytes, not {count * element.itemsize}."
        )
    if element == np.bool_ and np.frombuffer(content, np.uint8).max(initial=0) > 1:
        raise TensorProtoError("The tensor has truth values other than 0 and 1.")
    array = np.frombuffer(content, element)
    return array if sys.byteorder == "little" else array.byteswap()


def _filled(proto: TensorProto, layout: _Layout, count: int) -> Array:
    """The values of the dtype's field, the last of them repeated up to `count`."""
    values = _block(proto, layout) if layout.blocks else _converted(proto, layout)
    if len(values) == count:
        return values
    filled: Array = np.empty(count, layout.element)
    filled[: len(values)] = values
    filled[len(values) :] = values[-1] if len(values) else np.zeros((), layout.element)
    return filled


def _converted(proto: TensorProto, layout: _Layout) -> Array:
    """The values of a field of varints; half-precision numbers are there by their bits."""
    values = np.fromiter(getattr(proto, layout.field), layout.stored)
    half = layout.field == "half_val"
    target: np.dtype[Any] = np.dtype(np.uint16) if half else layout.element
    if target.itemsize < layout.stored.itemsize and len(values):
        range_ = np.iinfo(target)
        if values.min() < range_.min or values.max() > range_.max:
            raise TensorProtoError(f"The tensor has values that no {target} is.")
    return values.astype(target, copy=False).view(layout.element)


def _block(proto: TensorProto, layout: _Layout) -> Array:
    """The values of a packed field, out of the serialised message: no number becomes an object."""
    number = TensorProto.DESCRIPTOR.fields_by_name[layout.field].number
    data = memoryview(proto.SerializeToString())
    blocks = [value for found, value in _length_delimited(data) if found == number]
    flat = np.frombuffer(blocks[0] if blocks else b"", layout.stored)
    if sys.byteorder == "big":
        flat = flat.astype(flat.dtype.newbyteorder("="))
    return flat.view(layout.element)


def _length_delimited(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of the fields that have a length, in what protobuf itself has serialised.

    TensorProto has only such fields and varints, but unknown ones may have come with it.
    """
    position = depth = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _PACKED:
            size, position = _varint(data, position)
            if depth == 0:
                yield tag >> 3, data[position : position + size]
            position += size
        elif kind == _VARINT:
            _, position = _varint(data, position)
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            depth += 1 if kind == _GROUP else -1


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A varint and where the next field begins."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            break
    raise TensorProtoError("The tensor's content has a number that does not end.")


def _strings(proto: TensorProto, count: int) -> Array:
    if proto.tensor_content:
        values = _packed_strings(memoryview(proto.tensor_content), count)
    else:
        values = list(proto.string_val)
    array: Array = np.empty(count, dtype=object)
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else b""
    return array


def _packed_strings(content: memoryview, count: int) -> list[bytes]:
    """TensorFlow Serving's strings in `tensor_content`: all lengths as varints, then all bytes."""
    if len(content) < count:
        raise TensorProtoError(
            f"The tensor's content has {len(content)} bytes for {count} strings."
        )
    position, sizes = 0, []
    for _ in range(count):
        size, position = _varint(content, position)
        sizes.append(size)
    if position + sum(sizes) != len(content):
        raise TensorProtoError("The tensor's content has another length than its strings.")
    values = []
    for size in sizes:
        values.append(bytes(content[position : position + size]))
        position += size
    return values


def to_proto(array: Array, *, content: bool) -> TensorProto:
    """The TensorProto of an array; the rest is as with `fill_proto`."""
    proto = TensorProto()
    fill_proto(proto, array, content=content)
    return proto


def fill_proto(proto: TensorProto, array: Array, *, content: bool) -> None:
    """Write an array into an empty TensorProto, for instance one inside a larger message.

    Args:
        proto: as yet empty.
        array: of any dtype that TensorFlow has; strings as bytes, str or an object array of them.
        content: in `tensor_content`, instead of the dtype's repeated field. Strings are always in
            `string_val`, since Python's TensorFlow reads them nowhere else.

    Raises:
        TensorProtoError: a dtype that TensorFlow lacks, or an element that is no string.
    """
    try:
        number = dtypes.number_of(array.dtype)
    except FeedError as error:
        raise TensorProtoError(error.message) from None
    proto.dtype = number  # type: ignore[assignment]  # the enum's numbers are ours
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    layout = _LAYOUTS[number]
    if layout.field == "string_val":
        proto.string_val.extend(_as_bytes(element) for element in array.reshape(-1).tolist())
    elif content:
        proto.tensor_content = _little_endian(array).tobytes()
    elif layout.blocks:
        _merge_block(proto, layout.field, _little_endian(array))
    else:
        getattr(proto, layout.field).extend(_storable(array, layout))


def _as_bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        try:
            return element.encode("utf-8")
        except UnicodeEncodeError:
            raise TensorProtoError("A string element has no UTF-8 form.") from None
    raise TensorProtoError(f"A string tensor holds bytes or str, not {type(element).__name__}.")


def _little_endian(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _storable(array: Array, layout: _Layout) -> list[int]:
    if layout.field == "half_val":
        native = array.astype(layout.element, copy=False)
        return np.ascontiguousarray(native).reshape(-1).view(np.uint16).tolist()
    return array.reshape(-1).tolist()


def _merge_block(proto: TensorProto, field: str, array: Array) -> None:
    """Set a packed field by its bytes on the wire, which are the array's."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if data.size:
        tag = TensorProto.DESCRIPTOR.fields_by_name[field].number << 3 | _PACKED
        proto.MergeFromString(b"".join((_encoded(tag), _encoded(data.size), data.data)))


def _encoded(number: int) -> bytes:
    """A varint."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
