"""Events for the tests of what observes them."""

from __future__ import annotations

from typing import Any

from accel_protocol.errors import Status
from client_runtime.serving.events import BatchEnded, RequestEnded, RunEnded, VersionChanged
from client_runtime.serving.servable import Caller, ServableId
from client_runtime.serving_wire import inference_pb2

HALF = ServableId("half", 3)
GRPC = Caller(request_id="r1", door="GRPC", api="Predict", peer="ipv4:10.0.0.7:5000", bytes_in=21)


def predict_request(model: str = "half", x: float = 2.0) -> inference_pb2.PredictRequest:
    """A request for one number."""
    request = inference_pb2.PredictRequest()
    request.model_spec.name = model
    request.inputs["x"].dtype = 1
    request.inputs["x"].float_val.append(x)
    return request


def predict_response(model: str = "half", version: int = 3) -> inference_pb2.PredictResponse:
    """Its answer."""
    response = inference_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = version
    response.model_spec.signature_name = "serving_default"
    response.outputs["y"].float_val.append(3.0)
    return response


def request_ended(**changes: Any) -> RequestEnded:
    """A Predict that succeeded."""
    values: dict[str, Any] = {
        "caller": GRPC,
        "model": "half",
        "version": 3,
        "signature": "serving_default",
        "status": None,
        "began_at": 100.0,
        "seconds": 0.002,
        "request": predict_request(),
        "response": predict_response(),
        "bytes_out": 44,
    }
    return RequestEnded(**(values | changes))


def run_ended(
    *, status: Status | None = None, signature: str = "serving_default", caller: Caller = GRPC
) -> RunEnded:
    """A run of a millisecond, half of it in the queue."""
    return RunEnded(
        caller=caller,
        servable=HALF,
        signature=signature,
        status=status,
        began_at=100.0005,
        queue_seconds=0.0005,
        compute_seconds=0.00025,
        seconds=0.001,
    )


def batch_ended() -> BatchEnded:
    """A batch of three rows of two requests, which ran as four."""
    return BatchEnded(
        servable=HALF,
        signature="serving_default",
        thread_pool_name="batch_threads",
        rows=(1, 2),
        execution_rows=4,
        queue_seconds=(0.00005, 0.00025),
        began_at=100.0007,
        seconds=0.0005,
        status=None,
    )


def version_changed(state: str, servable: ServableId = HALF, **changes: Any) -> VersionChanged:
    """A version in another state."""
    return VersionChanged(servable, state, f"/models/{servable.name}/{servable.version}", **changes)
