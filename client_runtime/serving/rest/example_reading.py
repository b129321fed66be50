"""The JSON of classify and regress: examples, each an object of features.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from client_runtime.serving.rest import base64_objects
from client_runtime.serving.rest.json_grammar import HIGHEST, LOWEST
from client_runtime.serving.rest.json_text import debug_text, encoded, readable, type_name
from client_runtime.serving.rest.tensor_reading import as_float
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.examples_pb2 import Example, Feature
from client_runtime.serving_wire.inference_pb2 import Input

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(document: Mapping[str, Any]) -> Input:
    """A request's `examples`, with its `context` if it has one.

    Raises:
        ServingError: they are missing, or hold what no example holds.
    """
    input_ = Input()
    kind = input_.example_list_with_context if "context" in document else input_.example_list
    if "context" in document:
        input_.example_list_with_context.context.CopyFrom(_example(document["context"]))
    examples = document.get("examples")
    if "examples" not in document:
        raise _format_error(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(examples, list):
        raise _format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format_error(document, "'examples' value is an empty array")
    kind.examples.extend(map(_example, examples))
    return input_


def has_infinity(input_: Input) -> bool:
    """Whether a feature has an infinite element."""
    examples = [*input_.example_list.examples, *input_.example_list_with_context.examples]
    if input_.HasField("example_list_with_context"):
        examples.append(input_.example_list_with_context.context)
    return any(
        bool(np.isinf(feature.float_list.value).any())
        for example in examples
        for feature in example.features.feature.values()
    )


def _format_error(document: Mapping[str, Any], what: str) -> ServingError:
    return invalid(f"JSON Value: {debug_text(document)} {what}")


def _example(value: Any) -> Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = Example()
    example.features.SetInParent()
    for name, content in value.items():
        feature = example.features.feature[readable(name)]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)
    return example


def _add(feature: Feature, name: str, value: Any) -> None:
    if isinstance(value, str):
        _list_of(feature, name, "bytes_list").append(encoded(value))
    elif base64_objects.is_bytes(value):
        values = _list_of(feature, name, "bytes_list")
        values.append(base64_objects.decode(value))
    elif isinstance(value, float) or (_is_number(value) and not LOWEST <= value <= HIGHEST):
        with np.errstate(over="ignore"):
            _list_of(feature, name, "float_list").append(float(np.float32(as_float(value))))
    elif isinstance(value, int):
        values = _list_of(feature, name, "int64_list")
        if value >= 2**63:
            raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        values.append(int(value))
    else:
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list_of(feature: Feature, name: str, kind: str) -> Any:
    """The values of a feature that has this kind of them, or none yet."""
    held = feature.WhichOneof("kind")
    if held is not None and held != kind:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[held]}")
    return getattr(feature, kind).value
