"""What a request is about is known before anything is done with it."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from client_runtime.serving.access.asked_models import models_of_line, models_of_message
from client_runtime.serving_wire import inference_pb2, model_management_pb2

PATHS: list[tuple[str, Collection[str] | None]] = [
    ("/v1/models/m:predict", ("m",)),
    ("/V1/Models/m", ("m",)),
    ("/v1/models/m/versions/3:classify", ("m",)),
    ("/v1/models/m/labels/stable/metadata", ("m",)),
    ("/v1/models/a%2fb:predict", ("a/b",)),
    ("/v1/models/a%3Ab", ("a:b",)),
    ("/v1/models/m?x=/v1/models/n", ("m?x=",)),
    ("/v1/models", None),
    ("/v1/models/", None),
    ("/v1/models/metadata", None),
    ("/v1/config", None),
    ("/%761/models/m", None),
    ("//v1/models/m", None),
    ("/x/../v1/models/m", None),
    ("http://host/v1/models/m", None),
    ("*", None),
    ("/monitoring/prometheus/metrics", ()),
    ("/", ()),
]


@pytest.mark.parametrize(("path", "models"), PATHS)
def test_paths(path: str, models: Collection[str] | None) -> None:
    """What is not sure to be one model, or none, is about all of them."""
    assert models_of_line("GET", path) == models


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_what_changes_is_about_all_models(method: str) -> None:
    """A key for one model cannot have another folder served under its name."""
    assert models_of_line(method, "/v1/models/m") is None


def test_messages() -> None:
    """By their model spec, or by all of their tasks'; reloading is about all models."""
    predict = inference_pb2.PredictRequest(model_spec={"name": "m"})
    multi = inference_pb2.MultiInferenceRequest()
    multi.tasks.add().model_spec.name = "m"
    multi.tasks.add().model_spec.name = "n"

    assert models_of_message(predict) == ("m",)
    assert models_of_message(multi) == {"m", "n"}
    assert models_of_message(model_management_pb2.GetModelStatusRequest()) == ("",)
    assert models_of_message(model_management_pb2.ReloadConfigRequest()) is None
