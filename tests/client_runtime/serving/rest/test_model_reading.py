"""A model's configuration as JSON."""

from __future__ import annotations

import pytest

from client_runtime.serving.rest.model_reading import read_model
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import TENSORFLOW, ModelConfig


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (
            b'{"base_path": "/m"}',
            ModelConfig(name="a/b", base_path="/m", model_platform="tensorflow"),
        ),
        (
            b'{"name": "a/b", "base_path": "/m", "model_type": "TENSORFLOW", "version_labels": '
            b'{"stable": "3"}}',
            ModelConfig(
                name="a/b", base_path="/m", model_type=TENSORFLOW, version_labels={"stable": 3}
            ),
        ),
        (b'{"modelPlatform": "other"}', ModelConfig(name="a/b", model_platform="other")),
    ],
)
def test_name_and_platform_may_be_left_out(body: bytes, model: ModelConfig) -> None:
    """The path has the name."""
    assert read_model("a/b", body) == model


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b'{"base": 1}', b'{"name": "c"}'])
def test_others_are_refused(body: bytes) -> None:
    """Also what is about another model."""
    with pytest.raises(ServingError, match="The body is"):
        read_model("a/b", body)
