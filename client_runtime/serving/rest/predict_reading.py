"""A predict request's JSON: rows (`instances`) or columns (`inputs`) of a signature's inputs.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.rest import base64_objects
from client_runtime.serving.rest.json_text import debug_text, readable
from client_runtime.serving.rest.tensor_reading import (
    assembled,
    quickly,
    read_exactly,
    read_tensor,
)
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.signatures_pb2 import TensorInfo


@dataclass(frozen=True)
class Inputs:
    """What a predict request's body holds.

    Attributes:
        arrays: by the input's name.
        by_row: in what form it came, and its answer is to go.
    """

    arrays: dict[str, Array]
    by_row: bool


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a request names, "" if none.

    Raises:
        ServingError: its name is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {debug_text(document)} not formatted correctly. 'signature_name' key "
            "must be a string value."
        )
    return readable(name)


def output_filter(document: Mapping[str, Any]) -> list[str]:
    """The outputs that a request wants, none for all; TensorFlow Serving has no such key.

    Raises:
        ServingError: it is no list of strings.
    """
    names = document.get("output_filter", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _format_error(document, "Expecting 'output_filter' to be a list of strings")
    return list(map(readable, names))


def read_inputs(
    document: Mapping[str, Any], signature: str, infos: Mapping[str, TensorInfo]
) -> Inputs:
    """The arrays of a request's `instances` or `inputs`.

    Args:
        document: the body.
        signature: as the request names it.
        infos: the signature's inputs.

    Raises:
        ServingError: they do not fit the inputs.
    """
    if not infos:
        raise invalid(f"Failed to get input map for signature: {signature or 'DEFAULT'}")
    types = {name: int(infos[name].dtype) for name in sorted(infos)}
    if "instances" in document:
        if "inputs" in document:
            raise _format_error(
                document,
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to "
                "exist ",
            )
        instances = document["instances"]
        if not isinstance(instances, list):
            raise _format_error(document, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _format_error(document, "No values in 'instances' array")
        return Inputs(_rows(instances, types), by_row=True)
    if "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    return Inputs(_columns(document["inputs"], types), by_row=False)


def has_infinity(arrays: Mapping[str, Array]) -> bool:
    """Whether an array has an infinite element."""
    return any(
        array.dtype != object and array.dtype.kind not in "biu" and bool(np.isinf(array).any())
        for array in arrays.values()
    )


def _format_error(document: Mapping[str, Any], what: str) -> ServingError:
    return invalid(f"JSON Value: {debug_text(document)} {what}")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not base64_objects.is_bytes(value)


def _columns(value: Any, types: Mapping[str, int]) -> dict[str, Array]:
    if not _is_object(value):
        if len(types) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return {name: read_tensor(value, dtype) for name, dtype in types.items()}
    arrays = {}
    for name, dtype in types.items():
        if name not in value:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = read_tensor(value[name], dtype)
    return arrays


def _rows(instances: list[Any], types: Mapping[str, int]) -> dict[str, Array]:
    if not isinstance(instances[0], dict) and len(types) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    if _is_object(instances[0]):
        return _named_rows_quickly(instances, types) or _named_rows(instances, types)
    name, dtype = next(iter(types.items()))
    # Elements that are objects are all of them bytes, or refused on the exact way.
    array = quickly(instances, dtype)
    return {name: _plain_rows(instances, name, dtype) if array is None else array}


def _named_rows_quickly(instances: list[Any], types: Mapping[str, int]) -> dict[str, Array] | None:
    names = types.keys()
    if not all(isinstance(item, dict) and item.keys() == names for item in instances):
        return None
    if len(types) == 1 and any(map(base64_objects.is_bytes, instances)):
        return None
    arrays = {}
    for name, dtype in types.items():
        array = quickly([item[name] for item in instances], dtype)
        if array is None:
            return None
        arrays[name] = array
    return arrays


def _plain_rows(instances: list[Any], name: str, dtype: int) -> Array:
    column = _Column(dtype)
    for index, item in enumerate(instances):
        if _is_object(item):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        try:
            column.add(item)
        except ServingError as error:
            raise _element_error(f"{index}", error) from None
    return column.array()


def _named_rows(instances: list[Any], types: Mapping[str, int]) -> dict[str, Array]:
    columns = {name: _Column(dtype) for name, dtype in types.items()}
    for index, item in enumerate(instances):
        if not _is_object(item):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        for name, value in item.items():
            try:
                if name not in columns:
                    raise invalid(f"JSON object: does not have named input: {name}")
                columns[name].add(value)
            except ServingError as error:
                raise _element_error(f"{index} key: {name}", error) from None
        if item.keys() != types.keys():
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{debug_text(item)} keys must be equal to: {','.join(types)}"
            )
    return {name: column.array() for name, column in columns.items()}


def _element_error(which: str, error: ServingError) -> ServingError:
    return invalid(
        f"Failed to process element: {which} of 'instances' list. Error: "
        f"{Status(error.status).name}: {error.message}"
    )


class _Column:
    """One input's values of all instances, gone through one by one."""

    def __init__(self, dtype: int) -> None:
        self._dtype = dtype
        self._leaves: list[Any] = []
        self._shape: list[int] | None = None
        self._items = self._size = 0

    def add(self, value: Any) -> None:
        """Add an instance's value.

        Raises:
            ServingError: it is none of this type, or its shape is not that of the first one.
        """
        before = len(self._leaves)
        shape = read_exactly(value, self._dtype, self._leaves)
        size = len(self._leaves) - before
        if self._shape is None:
            self._shape, self._size = shape, size
        if size != self._size:
            raise invalid(f"Expecting tensor size: {self._size} but got: {size}")
        if shape != self._shape:
            raise invalid(f"Expecting shape {_text(self._shape)} but got: {_text(shape)}")
        self._items += 1

    def array(self) -> Array:
        """All of them, along a first dimension."""
        return assembled(self._leaves, self._dtype, [self._items, *(self._shape or [])])


def _text(shape: list[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
