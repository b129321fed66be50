"""TensorFlow Serving's gRPC services, by full method name."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from client_runtime.serving.access.asked_models import models_of_message
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.doors.grpc_calls import Method, handler
from client_runtime.serving.events import Observer
from client_runtime.serving.servable import Bounds, Catalog, Inference
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire import inference_pb2, model_management_pb2

PREDICTION = "tensorflow.serving.PredictionService"
MODELS = "tensorflow.serving.ModelService"
SESSION = "tensorflow.serving.SessionService"
SERVICES = (PREDICTION, MODELS, SESSION)

# How much a counter of the metrics has counted so far.
Counter = Callable[[str], int]


def services(
    inference: Inference, catalog: Catalog, guard: Guard, counter: Counter, observe: Observer
) -> list[grpc.GenericRpcHandler]:
    """The handlers of all services; `observe` is told of every request."""
    tables = {
        PREDICTION: _prediction(inference),
        MODELS: _models(catalog, counter),
        SESSION: [
            Method(
                "SessionRun",
                inference_pb2.SessionRunRequest,
                inference.session_run,
                models_of_message,
            )
        ],
    }
    return [
        grpc.method_handlers_generic_handler(
            name, {method.name: handler(method, guard, observe) for method in methods}
        )
        for name, methods in tables.items()
    ]


def _prediction(inference: Inference) -> list[Method]:
    pb, about = inference_pb2, models_of_message
    return [
        Method("Predict", pb.PredictRequest, inference.predict, about),
        Method("Classify", pb.ClassificationRequest, inference.classify, about),
        Method("Regress", pb.RegressionRequest, inference.regress, about),
        Method("MultiInference", pb.MultiInferenceRequest, inference.multi_inference, about),
        Method(
            "GetModelMetadata",
            pb.GetModelMetadataRequest,
            lambda request, _: inference.metadata(request),
            about,
            is_inference=False,
        ),
    ]


def _models(catalog: Catalog, counter: Counter) -> list[Method]:
    pb, about = model_management_pb2, models_of_message

    def status(request: pb.GetModelStatusRequest, _: Bounds) -> pb.GetModelStatusResponse:
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        return catalog.status(spec.name, spec.version.value if spec.HasField("version") else None)

    def reload(request: pb.ReloadConfigRequest, bounds: Bounds) -> pb.ReloadConfigResponse:
        before = {name: counter(name) for name in request.metric_names}
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        catalog.reload(request.config, bounds)
        response = pb.ReloadConfigResponse()
        response.status.SetInParent()  # error_code OK
        for name, value in before.items():
            response.metric.add(name=name, int64_value_increase=counter(name) - value)
        return response

    return [
        Method("GetModelStatus", pb.GetModelStatusRequest, status, about, is_inference=False),
        Method(
            "HandleReloadConfigRequest", pb.ReloadConfigRequest, reload, about, is_inference=False
        ),
    ]
