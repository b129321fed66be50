"""The table of methods has those of TensorFlow Serving, with the classes that others import."""

from __future__ import annotations

from client_runtime.serving_wire import inference_pb2, model_management_pb2
from client_runtime.serving_wire.methods import SERVICES


def test_paths_are_those_of_tensorflow_serving() -> None:
    """A client of the original calls these."""
    assert sorted(method.path for methods in SERVICES.values() for method in methods.values()) == [
        "/tensorflow.serving.ModelService/GetModelStatus",
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        "/tensorflow.serving.PredictionService/Classify",
        "/tensorflow.serving.PredictionService/GetModelMetadata",
        "/tensorflow.serving.PredictionService/MultiInference",
        "/tensorflow.serving.PredictionService/Predict",
        "/tensorflow.serving.PredictionService/Regress",
        "/tensorflow.serving.SessionService/SessionRun",
    ]


def test_classes_are_the_generated_ones() -> None:
    """So that isinstance and ordinary constructors work."""
    predict = SERVICES["tensorflow.serving.PredictionService"]["Predict"]
    assert predict.request is inference_pb2.PredictRequest
    assert predict.response is inference_pb2.PredictResponse
    reload = SERVICES["tensorflow.serving.ModelService"]["HandleReloadConfigRequest"]
    assert reload.request is model_management_pb2.ReloadConfigRequest
