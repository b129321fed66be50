"""A predict answer's JSON, by rows or by columns, laid out as TensorFlow Serving does it.

Rows have each item on one line; columns have each element on a line of its own.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import ml_dtypes

from accel_protocol import dtypes
from accel_protocol.tensors import Array
from client_runtime.serving.rest import element_text
from client_runtime.serving.rest.json_text import INDENT, encoded, quoted
from client_runtime.serving.rest.tensor_reading import dtype_name
from client_runtime.serving.statuses import ServingError, invalid

_BYTES_SUFFIX = "_bytes"

_WRITERS: Mapping[str, Callable[[Array], list[str]]] = {
    "f": element_text.floats,
    "i": element_text.integers,
    "u": element_text.integers,
    "b": element_text.truths,
    "O": element_text.strings,
}


def by_row(arrays: Mapping[str, Array]) -> bytes:
    """The answer to `instances`: an item for each index of the first dimension.

    Raises:
        ServingError: outputs without a first dimension, or with unequal ones, or of a type that
            JSON does not have.
    """
    items = _items(arrays)
    ordered = dict(sorted(arrays.items()))
    columns = [_rows_of(name, array, len(ordered)) for name, array in ordered.items()]
    if len(ordered) > 1:
        rows = _objects(list(ordered), columns)
        before = f"\n{INDENT * 2}"
        inner = f",{before}".join(rows)
        inner = before + inner if rows else ""
    else:
        inner = ", ".join(columns[0])
    end = f"\n{INDENT}]" if items else "]"
    return encoded(f'{{\n{INDENT}"predictions": [{inner}{end}\n}}')


def by_column(arrays: Mapping[str, Array]) -> bytes:
    """The answer to `inputs`: each output as it is.

    Raises:
        ServingError: there is none, or one of a type that JSON does not have.
    """
    if not arrays:
        raise _no_outputs()
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        text = _whole(name, array, depth=1)
    else:
        before = f"\n{INDENT * 2}"
        members = (
            f"{before}{quoted(name)}: {_whole(name, array, depth=2)}"
            for name, array in sorted(arrays.items())
        )
        text = f"{{{','.join(members)}\n{INDENT}}}"
    return encoded(f'{{\n{INDENT}"outputs": {text}\n}}')


def _no_outputs() -> ServingError:
    return invalid("Cannot convert empty tensor map to JSON")


def _items(arrays: Mapping[str, Array]) -> int:
    """How many items an answer by row has."""
    if not arrays:
        raise _no_outputs()
    items = -1
    for name, array in sorted(arrays.items()):
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if items >= 0 and len(array) != items:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {items}"
            )
        items = len(array)
    return items


def _objects(names: Sequence[str], columns: Sequence[list[str]]) -> list[str]:
    """Rows of several outputs."""
    before, after = f"\n{INDENT * 3}", f"\n{INDENT * 2}"
    keys = [f"{before}{quoted(name)}: " for name in names]
    return [
        f"{{{','.join(map(''.join, zip(keys, row, strict=True)))}{after}}}"
        for row in zip(*columns, strict=True)
    ]


def _rows_of(name: str, array: Array, outputs: int) -> list[str]:
    """The texts of an output's items, each on one line."""
    around = (2 if outputs == 1 else 3) + array.ndim - 1
    texts = _elements(name, array, around)
    for axis in range(array.ndim - 1, 0, -1):
        texts = [f"[{', '.join(group)}]" for group in _groups(texts, array.shape, axis)]
    return texts


def _whole(name: str, array: Array, depth: int) -> str:
    """The text of an output, each of its elements on a line."""
    texts = _elements(name, array, depth + array.ndim)
    for axis in range(array.ndim - 1, -1, -1):
        before, after = f"\n{INDENT * (depth + axis + 1)}", f"\n{INDENT * (depth + axis)}"
        separator = "," + before
        texts = [
            f"[{before}{separator.join(group)}{after}]" if group else "[]"
            for group in _groups(texts, array.shape, axis)
        ]
    return texts[0]


def _groups(texts: list[str], shape: tuple[int, ...], axis: int) -> Iterator[list[str]]:
    """The texts of what is along one axis, for each place before it."""
    size = shape[axis]
    for index in range(math.prod(shape[:axis])):
        yield texts[index * size : (index + 1) * size]


def _elements(name: str, array: Array, depth: int) -> list[str]:
    """The texts of an output's elements, in order."""
    if array.dtype.kind == "O" and name.endswith(_BYTES_SUFFIX):
        return element_text.byte_objects(array, depth)
    kind = "f" if array.dtype == ml_dtypes.bfloat16 else array.dtype.kind
    if kind not in _WRITERS:
        type_ = dtype_name(dtypes.number_of(array.dtype))
        raise invalid(f"Failed to write JSON value for tensor type: {type_}")
    return _WRITERS[kind](array)
