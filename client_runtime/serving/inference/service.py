"""Answering the requests of both doors with what a catalog has loaded."""

from __future__ import annotations

from google.protobuf.message import Message

from client_runtime.serving.inference import metadata
from client_runtime.serving.inference.answering import Answering
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.servable import Bounds, Catalog
from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire import inference_pb2 as pb


class InferenceService:
    """See `Inference`. Thread-safe.

    Args:
        catalog: finds the servables.
        options: how requests are answered.
    """

    def __init__(self, catalog: Catalog, options: InferenceOptions) -> None:
        self._catalog, self._options = catalog, options

    def predict(self, request: pb.PredictRequest, bounds: Bounds) -> pb.PredictResponse:
        """See `Inference.predict`."""
        _check_spec(request)
        with self._catalog.use(request.model_spec) as servable:
            return Answering(servable, self._options).predict(request, bounds)

    def classify(
        self, request: pb.ClassificationRequest, bounds: Bounds
    ) -> pb.ClassificationResponse:
        """See `Inference.classify`."""
        _check_spec(request)
        with self._catalog.use(request.model_spec) as servable:
            return Answering(servable, self._options).classify(request, bounds)

    def regress(self, request: pb.RegressionRequest, bounds: Bounds) -> pb.RegressionResponse:
        """See `Inference.regress`."""
        _check_spec(request)
        with self._catalog.use(request.model_spec) as servable:
            return Answering(servable, self._options).regress(request, bounds)

    def multi_inference(
        self, request: pb.MultiInferenceRequest, bounds: Bounds
    ) -> pb.MultiInferenceResponse:
        """See `Inference.multi_inference`."""
        spec = request.tasks[0].model_spec if request.tasks else pb.ModelSpec()
        with self._catalog.use(spec) as servable:
            return Answering(servable, self._options).multi_inference(request, bounds)

    def metadata(self, request: pb.GetModelMetadataRequest) -> pb.GetModelMetadataResponse:
        """See `Inference.metadata`."""
        _check_spec(request)
        metadata.check(request)
        with self._catalog.use(request.model_spec) as servable:
            return metadata.answer(servable)

    def session_run(self, request: pb.SessionRunRequest, bounds: Bounds) -> pb.SessionRunResponse:
        """See `Inference.session_run`."""
        _check_spec(request)
        with self._catalog.use(request.model_spec) as servable:
            return Answering(servable, self._options).session_run(request, bounds)


def _check_spec(request: Message) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
