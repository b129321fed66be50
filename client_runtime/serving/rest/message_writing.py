"""The JSON of the other answers: results, errors, states and signatures.

Pure.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from accel_protocol.errors import Status
from client_runtime.serving.rest import element_text
from client_runtime.serving.rest.json_text import INDENT, encoded, quoted
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.inference_pb2 import (
    ClassificationResult,
    GetModelMetadataResponse,
    RegressionResult,
    SignatureDefMap,
)
from client_runtime.serving_wire.model_management_pb2 import GetModelStatusResponse
from client_runtime.serving_wire.pool import POOL

# The field of GetModelMetadata that there is.
SIGNATURE_FIELD = "signature_def"

_DEFAULTS_TOO = next(
    name
    for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
    if name in inspect.signature(json_format.MessageToJson).parameters
)


def error_body(message: str) -> bytes:
    """The body of an answer that is an error."""
    return encoded(f'{{\n{INDENT}"error": {quoted(message)}\n}}')


def classification(result: ClassificationResult) -> bytes:
    """The answer to classify.

    Raises:
        ServingError: there is no result.
    """
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    classes = [class_ for each in result.classifications for class_ in each.classes]
    scores = iter(_texts([class_.score for class_ in classes]))
    rows = (
        ", ".join(f"[{quoted(class_.label)}, {next(scores)}]" for class_ in each.classes)
        for each in result.classifications
    )
    inner = ", ".join(f"[{row}]" for row in rows)
    return encoded(f'{{\n{INDENT}"results": [{inner}\n{INDENT}]\n}}')


def regression(result: RegressionResult) -> bytes:
    """The answer to regress.

    Raises:
        ServingError: there is no result.
    """
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    inner = ", ".join(_texts([each.value for each in result.regressions]))
    return encoded(f'{{\n{INDENT}"results": [{inner}]\n}}')


def _texts(values: Sequence[float]) -> list[str]:
    return element_text.floats(np.array(values, np.float32))


def status(response: GetModelStatusResponse) -> bytes:
    """The states of a model's versions."""
    return encoded(_json(response))


def listing(
    responses: Mapping[str, GetModelStatusResponse], labels: Mapping[str, Mapping[str, int]]
) -> bytes:
    """The states of all models' versions, and what their labels mean; both by model."""
    models = ",\n".join(
        f'{{\n"name": {quoted(name)},\n"version_labels": {_labels(labels[name])},\n'
        f"{_json(response)[1:].lstrip()}"
        for name, response in responses.items()
    )
    return encoded(f'{{\n"models": [\n{models}\n]\n}}\n')


def _labels(labels: Mapping[str, int]) -> str:
    members = (f'{quoted(label)}: "{version}"' for label, version in sorted(labels.items()))
    return f"{{{', '.join(members)}}}"


def metadata(response: GetModelMetadataResponse) -> bytes:
    """The signatures of a model.

    Raises:
        ServingError: the answer does not hold them.
    """
    signatures = SignatureDefMap()
    if not response.metadata[SIGNATURE_FIELD].Unpack(signatures):
        raise ServingError(Status.INTERNAL, "Failed to unpack 'Any' object to 'SignatureDefMap'.")
    return encoded(
        f'{{\n"model_spec":{_json(response.model_spec)},\n'
        f'"metadata": {{"signature_def": {_json(signatures)}}}\n}}\n'
    )


def _json(message: Message) -> str:
    """A message as protobuf writes it, with the values that are not set."""
    text = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        indent=1,
        ensure_ascii=False,
        descriptor_pool=POOL,
        **{_DEFAULTS_TOO: True},
    )
    return str(text) + "\n"
