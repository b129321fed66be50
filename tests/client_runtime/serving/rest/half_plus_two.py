"""A catalog of one model, and the inference with it, in NumPy: what is behind the REST API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from accel_protocol.errors import Status
from client_runtime.serving.servable import Bounds, Servable, ServableId
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire import inference_pb2, model_management_pb2, signatures_pb2
from client_runtime.serving_wire.tensor_protos import to_array, to_proto

FLOAT, INT32, STRING, DOUBLE, COMPLEX = 1, 3, 7, 2, 8
VERSION = 3
LABEL = "stable"


def signature(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> signatures_pb2.SignatureDef:
    """A signature of these names and types, for predict."""
    definition = signatures_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for names, infos in ((inputs, definition.inputs), (outputs, definition.outputs)):
        for name, dtype in names.items():
            infos[name].name = f"{name}:0"
            infos[name].dtype = dtype
            infos[name].tensor_shape.dim.add(size=-1)
    return definition


SIGNATURES = {
    "serving_default": signature({"x": FLOAT}, {"y": FLOAT}),
    "echo": signature({"s": STRING}, {"s_bytes": STRING}),
    "text": signature({"s": STRING}, {"s": STRING}),
    "pair": signature({"a": FLOAT, "b": INT32}, {"sum": FLOAT, "b": INT32}),
    "mean": signature({"x": FLOAT}, {"y": FLOAT}),
    "nothing": signature({}, {"y": FLOAT}),
    "unequal": signature({"x": FLOAT}, {"p": FLOAT, "q": FLOAT}),
    "phase": signature({"x": FLOAT}, {"y": COMPLEX}),
    "wait": signature({"x": FLOAT}, {"y": FLOAT}),
}


def compute(key: str, feeds: Mapping[str, Any]) -> dict[str, Any]:
    """What the model answers."""
    if key in ("echo", "text"):
        return {"s_bytes" if key == "echo" else "s": feeds["s"]}
    if key == "pair":
        return {"sum": feeds["a"] + feeds["b"].astype(np.float32), "b": feeds["b"]}
    half = (feeds["x"] / np.float32(2) + np.float32(2)).astype(np.float32)
    if key == "mean":
        return {"y": half.mean(dtype=np.float32)}
    if key == "unequal":
        return {"p": half, "q": half[:1]}
    if key == "phase":
        return {"y": half.astype(np.complex64)}
    return {"y": half}


@dataclass
class HalfPlusTwo:
    """Catalog and inference: y = x / 2 + 2, and other signatures to try the API's borders.

    Attributes:
        name: of the model.
        is_ready: what `ready` answers.
        cancelled: how many waiting runs ended by their cancellation.
        bounds: of the last run.
    """

    name: str = "half"
    is_ready: bool = True
    cancelled: int = 0
    bounds: list[Bounds] = field(default_factory=list)
    id: ServableId = field(default_factory=lambda: ServableId("half", VERSION))
    signatures: Mapping[str, signatures_pb2.SignatureDef] = field(
        default_factory=lambda: SIGNATURES
    )

    @contextlib.contextmanager
    def use(self, spec: inference_pb2.ModelSpec) -> Iterator[Servable]:
        """The model, if the spec means it."""
        if spec.HasField("version_label") and spec.version_label != LABEL:
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        which = f"Specific({spec.name}, {spec.version.value})"
        if spec.name != self.name or spec.version.value not in (0, VERSION):
            which = which if spec.HasField("version") else f"Latest({spec.name})"
            raise ServingError(Status.NOT_FOUND, f"Servable not found for request: {which}")
        yield self  # type: ignore[misc]

    def names(self) -> list[str]:
        """One."""
        return [self.name]

    def ready(self) -> bool:
        """As it was set."""
        return self.is_ready

    def labels(self, name: str) -> Mapping[str, int]:
        """See the Protocol."""
        return {LABEL: VERSION}

    def status(self, name: str, version: int | None) -> model_management_pb2.GetModelStatusResponse:
        """One version that is available."""
        if name != self.name:
            raise ServingError(Status.NOT_FOUND, f"Could not find any versions of model {name}")
        if version not in (None, VERSION):
            raise ServingError(
                Status.NOT_FOUND, f"Could not find version {version} of model {name}"
            )
        response = model_management_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=VERSION, state=model_management_pb2.ModelVersionStatus.AVAILABLE
        ).status.SetInParent()
        return response

    def predict(
        self, request: inference_pb2.PredictRequest, bounds: Bounds
    ) -> inference_pb2.PredictResponse:
        """Run a signature."""
        self.bounds.append(bounds)
        key = request.model_spec.signature_name or "serving_default"
        feeds = {name: to_array(proto) for name, proto in request.inputs.items()}
        with self.use(request.model_spec):
            if key == "wait":
                self._wait(bounds)
            response = inference_pb2.PredictResponse(model_spec=self._spec(key))
            for name, array in compute(key, feeds).items():
                if not request.output_filter or name in request.output_filter:
                    response.outputs[name].CopyFrom(to_proto(np.asarray(array), content=False))
        return response

    def _wait(self, bounds: Bounds) -> None:
        """Until the client leaves or the time is over."""
        while not bounds.cancellation.cancelled:
            left = bounds.left()
            bounds.cancellation._cancelled.wait(min(0.05, left or 0.05))
        self.cancelled += 1
        raise ServingError(Status.CANCELLED, "The call was cancelled.")

    def _spec(self, key: str) -> inference_pb2.ModelSpec:
        spec = inference_pb2.ModelSpec(name=self.name, signature_name=key)
        spec.version.value = VERSION
        return spec

    def _halves(self, input_: inference_pb2.Input) -> list[float]:
        values = [
            example.features.feature["x"].float_list.value
            for example in input_.example_list.examples
        ]
        return [float(value[0]) / 2 + 2 for value in values]

    def classify(
        self, request: inference_pb2.ClassificationRequest, bounds: Bounds
    ) -> inference_pb2.ClassificationResponse:
        """A class of no name per example."""
        with self.use(request.model_spec):
            response = inference_pb2.ClassificationResponse(model_spec=self._spec("classify"))
            for half in self._halves(request.input):
                response.result.classifications.add().classes.add(label="", score=half)
        return response

    def regress(
        self, request: inference_pb2.RegressionRequest, bounds: Bounds
    ) -> inference_pb2.RegressionResponse:
        """A value per example."""
        with self.use(request.model_spec):
            response = inference_pb2.RegressionResponse(model_spec=self._spec("regress"))
            for half in self._halves(request.input):
                response.result.regressions.add(value=half)
        return response

    def metadata(
        self, request: inference_pb2.GetModelMetadataRequest
    ) -> inference_pb2.GetModelMetadataResponse:
        """The default signature alone."""
        with self.use(request.model_spec):
            response = inference_pb2.GetModelMetadataResponse(model_spec=self._spec(""))
            signatures = inference_pb2.SignatureDefMap()
            signatures.signature_def["serving_default"].CopyFrom(SIGNATURES["serving_default"])
            response.metadata["signature_def"].Pack(signatures)
        return response

    def run(self, signature: str, feeds: Mapping[str, Any], bounds: Bounds) -> dict[str, Any]:
        """The same without messages."""
        return compute(signature, feeds)

    def close(self) -> None:
        """Nothing to free."""

    def reload(self, config: model_management_pb2.ModelServerConfig, bounds: Bounds) -> None:
        """Not here."""
        raise NotImplementedError

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, bounds: Bounds
    ) -> inference_pb2.MultiInferenceResponse:
        """Not here."""
        raise NotImplementedError

    def session_run(
        self, request: inference_pb2.SessionRunRequest, bounds: Bounds
    ) -> inference_pb2.SessionRunResponse:
        """Not here."""
        raise NotImplementedError
