"""Requests as events: an `Inference` around another one, one for each door."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from accel_protocol.errors import Status
from client_runtime.serving.events import Observer, RequestBegan, RequestEnded
from client_runtime.serving.servable import Bounds, Caller, Inference
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2

_Response = TypeVar("_Response")
# Their tasks and results have model specs, they have none.
_WITHOUT_SPEC = (inference_pb2.MultiInferenceRequest, inference_pb2.MultiInferenceResponse)


class ObservedInference:
    """Answers as the inference that it is made of, and tells of every request."""

    def __init__(self, inference: Inference, observer: Observer, door: str) -> None:
        """`door` is "GRPC" or "REST"."""
        self._inference, self._observer, self._door = inference, observer, door

    def predict(
        self, request: inference_pb2.PredictRequest, bounds: Bounds
    ) -> inference_pb2.PredictResponse:
        """Run a signature on named tensors."""
        return self._told("Predict", request, bounds, self._inference.predict)

    def classify(
        self, request: inference_pb2.ClassificationRequest, bounds: Bounds
    ) -> inference_pb2.ClassificationResponse:
        """Classify examples."""
        return self._told("Classify", request, bounds, self._inference.classify)

    def regress(
        self, request: inference_pb2.RegressionRequest, bounds: Bounds
    ) -> inference_pb2.RegressionResponse:
        """Regress examples."""
        return self._told("Regress", request, bounds, self._inference.regress)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, bounds: Bounds
    ) -> inference_pb2.MultiInferenceResponse:
        """Several classifications and regressions of the same examples."""
        return self._told("MultiInference", request, bounds, self._inference.multi_inference)

    def metadata(
        self, request: inference_pb2.GetModelMetadataRequest
    ) -> inference_pb2.GetModelMetadataResponse:
        """The signatures of a model."""
        return self._told(
            "GetModelMetadata",
            request,
            Bounds(),
            lambda asked, bounds: self._inference.metadata(asked),
        )

    def session_run(
        self, request: inference_pb2.SessionRunRequest, bounds: Bounds
    ) -> inference_pb2.SessionRunResponse:
        """Run any tensors of the graph."""
        return self._told("SessionRun", request, bounds, self._inference.session_run)

    def _told(
        self, api: str, request: Any, bounds: Bounds, answer: Callable[[Any, Bounds], _Response]
    ) -> _Response:
        caller = self._caller(api, bounds.caller)
        began_at = time.monotonic()
        self._observer(RequestBegan(caller, _spec(request).name))
        status: Status | None = Status.INTERNAL
        response: _Response | None = None
        try:
            response = answer(request, replace(bounds, caller=caller))
            status = None
            return response
        except ServingError as error:
            status = error.status
            raise
        finally:
            self._observer(_ended(caller, request, response, status, began_at))

    def _caller(self, api: str, caller: Caller) -> Caller:
        name = api if self._door == "GRPC" else api.lower()
        request_id = caller.request_id or secrets.token_hex(8)
        return replace(caller, request_id=request_id, door=self._door, api=name)


def _ended(
    caller: Caller, request: Any, response: Any, status: Status | None, began_at: float
) -> RequestEnded:
    asked = _spec(request)
    used = asked if response is None else _spec(response)
    return RequestEnded(
        caller=caller,
        model=asked.name,
        version=used.version.value if used.HasField("version") else None,
        signature=used.signature_name,
        status=status,
        began_at=began_at,
        seconds=time.monotonic() - began_at,
        request=request,
        response=response,
    )


def _spec(message: Any) -> inference_pb2.ModelSpec:
    """The model spec of a request or a response; of several tasks or results that of the first."""
    several: Any = getattr(message, "tasks", None) or getattr(message, "results", None)
    if several:
        found: inference_pb2.ModelSpec = several[0].model_spec
    elif isinstance(message, _WITHOUT_SPEC):
        found = inference_pb2.ModelSpec()
    else:
        found = message.model_spec
    return found
