"""Classify: which signatures can, and what their outputs say of each example.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from accel_protocol import dtypes
from accel_protocol.tensors import Array
from client_runtime.serving.inference import methods, tensors
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.inference_pb2 import ClassificationResult
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from client_runtime.serving_wire.tensors_pb2 import DataType

_NAMES = ((methods.CLASSES, DataType.DT_STRING), (methods.SCORES, DataType.DT_FLOAT))


def check(asked: SignatureDef, *, check_method: bool) -> None:
    """Refuse a signature that does not classify.

    Raises:
        ServingError: why.
    """
    if check_method and asked.method_name != methods.CLASSIFY:
        raise invalid(
            f"Expected classification signature method_name to be {methods.CLASSIFY}. "
            f"Was: {asked.method_name}"
        )
    if len(asked.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(asked.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(asked.outputs)}")
    if methods.INPUTS not in asked.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {asked}")
    if not {methods.CLASSES, methods.SCORES} & set(asked.outputs):
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{methods.CLASSES}" or "{methods.SCORES}". Signature was: {asked}'
        )


def result(fetches: Mapping[str, Array], examples: int) -> ClassificationResult:
    """Classes and scores of each example.

    Args:
        fetches: "classes", "scores" or both; others are not looked at.
        examples: how many there are.

    Raises:
        ServingError: shapes or dtypes are not those of a classification.
    """
    found = {name: fetches[name] for name, _ in _NAMES if name in fetches}
    for name, dtype in _NAMES:
        if name in found:
            _check_output(name, dtype, found[name], examples)
    widths = [array.shape[1] for array in found.values()]
    if len(set(widths)) > 1:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}"
        )
    return _filled(found.get(methods.CLASSES), found.get(methods.SCORES), examples)


def _check_output(name: str, dtype: int, array: Array, examples: int) -> None:
    if array.ndim != 2:
        raise invalid(
            f"Expected Tensor shape: [batch_size num_classes] but got {tensors.shape_text(array)}"
        )
    number = dtypes.number_of(array.dtype)
    if number != dtype:
        raise invalid(
            f"Expected {name} Tensor of {DataType.Name(dtype)}. "  # type: ignore[arg-type]
            f"Got: {DataType.Name(number)}"  # type: ignore[arg-type]
        )
    if len(array) != examples:
        raise invalid(f"Expected {name} output batch size of {examples}. Got: {len(array)}")


def _filled(classes: Array | None, scores: Array | None, examples: int) -> ClassificationResult:
    answer = ClassificationResult()
    labels = None if classes is None else classes.tolist()
    values = None if scores is None else np.asarray(scores).tolist()
    for place in range(examples):
        row = answer.classifications.add().classes
        for column in range(len((labels or values or [[]])[place])):
            one = row.add()
            if labels is not None:
                one.label = labels[place][column].decode("utf-8", "replace")
            if values is not None:
                one.score = values[place][column]
    return answer
