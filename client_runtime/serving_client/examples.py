"""Examples for classification and regression: dicts of features become messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from client_runtime.serving_client.errors import invalid
from client_runtime.serving_wire import examples_pb2, inference_pb2

Features = Mapping[str, Any]


def input_of(examples: Sequence[Features], context: Features | None) -> inference_pb2.Input:
    """The input of a request; `context` holds the features that all examples share.

    Raises:
        RequestError: a feature that is no number, string, bytes, or row of one kind of these.
    """
    protos = [example_of(features) for features in examples]
    if context is None:
        return inference_pb2.Input(example_list=inference_pb2.ExampleList(examples=protos))
    with_context = inference_pb2.ExampleListWithContext(
        examples=protos, context=example_of(context)
    )
    return inference_pb2.Input(example_list_with_context=with_context)


def example_of(features: Features) -> examples_pb2.Example:
    """One example.

    Whole numbers and truth values become int64, other numbers float, and text its UTF-8.

    Raises:
        RequestError: as above.
    """
    return examples_pb2.Example(
        features=examples_pb2.Features(
            feature={name: _feature(name, value) for name, value in features.items()}
        )
    )


def _feature(name: str, value: Any) -> examples_pb2.Feature:
    try:
        array = np.asarray(value, dtype=object if _has_text(value) else None).reshape(-1)
    except ValueError as error:
        raise invalid(f"Feature {name!r}: {error}") from error
    if array.dtype.kind in "SUO":
        return _bytes(name, array.tolist())
    if array.dtype.kind in "bi" or (array.dtype.kind == "u" and array.max(initial=0) < 1 << 63):
        integers = array.astype(np.int64).tolist()
        return examples_pb2.Feature(int64_list=examples_pb2.Int64List(value=integers))
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        floats = array.astype(np.float32).tolist()
        return examples_pb2.Feature(float_list=examples_pb2.FloatList(value=floats))
    raise invalid(f"Feature {name!r} cannot be of dtype {array.dtype}.")


def _has_text(value: Any) -> bool:
    """Whether NumPy must not guess: it cuts zeros off bytes, and makes text of numbers beside."""
    row = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(element, bytes | str) for element in row)


def _bytes(name: str, values: Sequence[Any]) -> examples_pb2.Feature:
    encoded = []
    for element in values:
        if not isinstance(element, bytes | str):
            raise invalid(f"Feature {name!r} cannot hold {type(element).__name__}.")
        try:
            encoded.append(element.encode() if isinstance(element, str) else element)
        except UnicodeEncodeError:
            raise invalid(f"Feature {name!r} has text that has no UTF-8 form.") from None
    return examples_pb2.Feature(bytes_list=examples_pb2.BytesList(value=encoded))
