"""The other answers as JSON."""

from __future__ import annotations

import json

import pytest

from client_runtime.serving.rest import message_writing
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.inference_pb2 import (
    ClassificationResult,
    GetModelMetadataResponse,
    RegressionResult,
    SignatureDefMap,
)
from client_runtime.serving_wire.model_management_pb2 import (
    GetModelStatusResponse,
    ModelVersionStatus,
)


def test_errors() -> None:
    """One member, laid out over lines."""
    assert message_writing.error_body('key: "k"') == b'{\n    "error": "key: \\"k\\""\n}'


def test_classification() -> None:
    """Pairs of label and score, per example."""
    result = ClassificationResult()
    for labels in ({"car": 0.2, "bus": 0.7}, {"car": 1.0}, {}):
        classes = result.classifications.add().classes
        for label, score in labels.items():
            classes.add(label=label, score=score)
    assert message_writing.classification(result) == (
        b'{\n    "results": [[["car", 0.2], ["bus", 0.7]], [["car", 1.0]], []\n    ]\n}'
    )


def test_regression() -> None:
    """Values on one line, finite or not."""
    result = RegressionResult()
    for value in (0.2, float("inf"), 1.0, float("-inf"), float("nan")):
        result.regressions.add(value=value)
    assert message_writing.regression(result) == (
        b'{\n    "results": [0.2, Infinity, 1.0, -Infinity, NaN]\n}'
    )


def test_no_results() -> None:
    """They are an error."""
    with pytest.raises(ServingError, match="empty ClassificationResults"):
        message_writing.classification(ClassificationResult())
    with pytest.raises(ServingError, match="empty RegressionResults"):
        message_writing.regression(RegressionResult())


def states() -> GetModelStatusResponse:
    """Two versions, one of which failed."""
    response = GetModelStatusResponse()
    failed = response.model_version_status.add(version=2**62, state=ModelVersionStatus.END)
    failed.status.error_code = 14
    failed.status.error_message = "no é"
    available = response.model_version_status.add(version=1, state=ModelVersionStatus.AVAILABLE)
    available.status.SetInParent()
    return response


def test_status() -> None:
    """As protobuf writes it, with an indent of one."""
    text = message_writing.status(states()).decode()
    assert text.startswith(
        '{\n "model_version_status": [\n  {\n   "version": "4611686018427387904",'
    )
    assert json.loads(text)["model_version_status"] == [
        {
            "version": str(2**62),
            "state": "END",
            "status": {"error_code": "UNAVAILABLE", "error_message": "no é"},
        },
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    ]


def test_listing() -> None:
    """Models with the same states as alone, which one may not have, and their labels."""
    responses = {"a": states(), "b": GetModelStatusResponse()}
    labels = {"a": {"new": 4, "old": 3}, "b": {}}
    listed = json.loads(message_writing.listing(responses, labels))
    alone = json.loads(message_writing.status(states()))
    assert listed["models"] == [
        {"name": "a", "version_labels": {"new": "4", "old": "3"}, **alone},
        {"name": "b", "version_labels": {}, "model_version_status": []},
    ]
    assert json.loads(message_writing.listing({}, {})) == {"models": []}


def test_metadata() -> None:
    """All fields are written, and defaults of inputs too."""
    signatures = SignatureDefMap()
    definition = signatures.signature_def["s"]
    definition.inputs["x"].tensor_shape.unknown_rank = True
    definition.defaults["x"].float_val.append(1.5)
    response = GetModelMetadataResponse()
    response.model_spec.name = "m"
    response.metadata["signature_def"].Pack(signatures)
    read = json.loads(message_writing.metadata(response))
    assert read["model_spec"] == {"name": "m", "signature_name": ""}
    written = read["metadata"]["signature_def"]["signature_def"]["s"]
    assert written["inputs"]["x"] == {
        "dtype": "DT_INVALID",
        "tensor_shape": {"dim": [], "unknown_rank": True},
    }
    assert written["outputs"] == {}
    assert written["method_name"] == ""
    assert written["defaults"]["x"]["float_val"] == [1.5]


def test_metadata_without_signatures() -> None:
    """It is a defect of what answered."""
    with pytest.raises(ServingError, match="Failed to unpack"):
        message_writing.metadata(GetModelMetadataResponse())
