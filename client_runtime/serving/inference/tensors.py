"""Tensors of requests and answers as arrays, checked against signatures.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire import tensor_protos
from client_runtime.serving_wire.signatures_pb2 import TensorInfo
from client_runtime.serving_wire.tensor_protos import TensorProtoError
from client_runtime.serving_wire.tensors_pb2 import DataType, TensorProto

_REFERENCE = 100  # added to a dtype's number where the tensor is a TensorFlow 1 variable


def read(alias: str, proto: TensorProto) -> Array:
    """The array of a request's tensor.

    Raises:
        ServingError: it is no tensor.
    """
    try:
        return tensor_protos.to_array(proto)
    except TensorProtoError as error:
        raise invalid(f"tensor parsing error: {alias} ({error})") from error


def write(alias: str, array: Array, *, content: bool) -> TensorProto:
    """The tensor of an answer.

    Raises:
        ServingError: TensorFlow has no such tensor.
    """
    try:
        return tensor_protos.to_proto(array, content=content)
    except TensorProtoError as error:
        raise ServingError(Status.INTERNAL, f"Output {alias} cannot be written: {error}") from error


def dtype_name(number: int) -> str:
    """TensorFlow's word for an element type, as its messages have it: "float", "string"."""
    if number not in DataType.values():
        return f"unknown dtype enum ({number})"
    return DataType.Name(number).removeprefix("DT_").lower()  # type: ignore[arg-type]


def check_dtypes(inputs: Mapping[str, TensorInfo], given: Mapping[str, int]) -> None:
    """Refuse feeds of other dtypes than the graph takes.

    Args:
        inputs: the signature's, by alias; a dtype of 0 is not known.
        given: dtype numbers by alias.

    Raises:
        ServingError: the first that is wrong, in the order in which TensorFlow counts: by name.
    """
    order = sorted((inputs[alias].name, alias) for alias in given if alias in inputs)
    for place, (_, alias) in enumerate(order):
        wanted = inputs[alias].dtype % _REFERENCE
        if wanted not in (0, given[alias]):
            raise invalid(
                f"Expects arg[{place}] to be {dtype_name(wanted)} but "
                f"{dtype_name(given[alias])} is provided"
            )


def shape_text(array: Array) -> str:
    """A shape as TensorFlow's messages have it: "[2,3]"."""
    return f"[{','.join(map(str, array.shape))}]"
