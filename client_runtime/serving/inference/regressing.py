"""Regress: which signatures can, and what their output says of each example.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accel_protocol import dtypes
from accel_protocol.tensors import Array
from client_runtime.serving.inference import methods, tensors
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.inference_pb2 import RegressionResult
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.serving_wire.tensors_pb2 import DataType


def check(asked: SignatureDef, *, check_method: bool) -> None:
    """Refuse a signature that does not regress.

    Raises:
        ServingError: why.
    """
    if check_method and asked.method_name != methods.REGRESS:
        raise invalid(
            f"Expected regression signature method_name to be {methods.REGRESS}. "
            f"Was: {asked.method_name}"
        )
    if len(asked.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(asked.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if methods.INPUTS not in asked.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {asked}")
    if methods.REGRESSION not in asked.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {asked}")


def result(fetches: Mapping[str, Array], examples: int) -> RegressionResult:
    """The value of each example.

    Raises:
        ServingError: shape or dtype is not that of a regression.
    """
    array = fetches[methods.REGRESSION]
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] != 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{tensors.shape_text(array)}"
        )
    if len(array) != examples:
        raise invalid(
            f"Input batch size did not match output batch size: {examples} vs. {len(array)}"
        )
    number = dtypes.number_of(array.dtype)
    if number != DataType.DT_FLOAT:
        raise invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: {DataType.Name(number)}"  # type: ignore[arg-type]
        )
    answer = RegressionResult()
    for value in np.asarray(array).reshape(-1).tolist():
        answer.regressions.add(value=value)
    return answer
