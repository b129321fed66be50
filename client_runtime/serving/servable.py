"""What the rooms of the server know of each other: a loaded version, and where to find one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2, model_management_pb2, signatures_pb2
from client_runtime.transport.exchange import Cancellation


@dataclass(frozen=True)
class Caller:
    """Who asks for a request, for logs and metrics; nothing is decided by it.

    Attributes:
        request_id: finds the request in logs; "" where the door gave none.
        door: "GRPC" or "REST"; "" for the server itself, as in a warm-up.
        api: the method of the gRPC API, for instance "Predict" or "GetModelStatus"; through REST
            "predict", "classify", "regress", "status", "metadata", "list", "put" or "remove"; ""
            for none of these.
        peer: address of the client.
        bytes_in: of the request on the wire; None where the door cannot tell.
    """

    request_id: str = ""
    door: str = ""
    api: str = ""
    peer: str = ""
    bytes_in: int | None = None


@dataclass(frozen=True)
class Bounds:
    """How long a request's answer is of use, through what it can be stopped, and whose it is.

    Attributes:
        give_up_at: time.monotonic(); None: however long it takes.
        cancellation: for this request alone.
        caller: who asks.
    """

    give_up_at: float | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)
    caller: Caller = field(default_factory=Caller)

    def left(self) -> float | None:
        """Seconds left, None for no bound.

        Raises:
            ServingError: none (DEADLINE_EXCEEDED).
        """
        if self.give_up_at is None:
            return None
        left = self.give_up_at - time.monotonic()
        if left <= 0:
            raise ServingError(Status.DEADLINE_EXCEEDED, "Timed out waiting for notification")
        return left


@dataclass(frozen=True)
class ServableId:
    """One version of one model."""

    name: str
    version: int


class Servable(Protocol):
    """One loaded version of one model. Thread-safe.

    Attributes:
        id: which one.
        signatures: by key, as saved_model.pb has them.
    """

    id: ServableId
    signatures: Mapping[str, signatures_pb2.SignatureDef]

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """All outputs of a signature, by alias, for inputs by alias.

        Nothing is checked against the signature's shapes: the graph decides.

        Raises:
            ServingError: the graph refuses or fails, time ran out, or no accelerator answers.
        """

    def close(self) -> None:
        """Free what it holds, on the accelerator too. Runs that are under way end with an error."""


class Loader(Protocol):
    """Makes servables of version folders."""

    def load(self, id_: ServableId, folder: Path, bounds: Bounds) -> Servable:
        """Load, and warm up; returns when requests can be answered without waiting.

        Raises:
            ServingError: it cannot be loaded.
        """


class Catalog(Protocol):
    """What is loaded. Thread-safe."""

    def use(self, spec: inference_pb2.ModelSpec) -> AbstractContextManager[Servable]:
        """The servable that a model spec means; it is not unloaded inside the `with`.

        Raises:
            ServingError: no such servable (NOT_FOUND), no such label (INVALID_ARGUMENT), or the
                spec names no model (INVALID_ARGUMENT).
        """

    def names(self) -> Sequence[str]:
        """The models that are to be served, sorted."""

    def labels(self, name: str) -> Mapping[str, int]:
        """The versions that the labels of a model mean now."""

    def status(self, name: str, version: int | None) -> model_management_pb2.GetModelStatusResponse:
        """States of a model's versions, the newest first; of one version where one is named.

        Raises:
            ServingError: there are none (NOT_FOUND).
        """

    def reload(self, config: model_management_pb2.ModelServerConfig, bounds: Bounds) -> None:
        """Serve what this configuration says and nothing else; returns when it does.

        Raises:
            ServingError: the configuration is wrong, or a model cannot be loaded.
        """

    def ready(self) -> bool:
        """Whether every model that is to be served has a version that is available."""


class Editor(Protocol):
    """Changes which models are to be served, one at a time. Thread-safe."""

    def put_model(self, model: model_management_pb2.ModelConfig, bounds: Bounds) -> None:
        """Serve this model too, or as this says from now on; otherwise as `Catalog.reload`."""

    def remove_model(self, name: str, bounds: Bounds) -> None:
        """Serve this model no more.

        Raises:
            ServingError: it is none that is served (NOT_FOUND).
        """


class Inference(Protocol):
    """Answers requests: the one interface that both doors use. Thread-safe.

    Every method raises a ServingError where a request does not end with OK. The model spec of an
    answer names the version that was used and the signature that was resolved.
    """

    def predict(
        self, request: inference_pb2.PredictRequest, bounds: Bounds
    ) -> inference_pb2.PredictResponse:
        """Run a signature on named tensors."""

    def classify(
        self, request: inference_pb2.ClassificationRequest, bounds: Bounds
    ) -> inference_pb2.ClassificationResponse:
        """Classify examples."""

    def regress(
        self, request: inference_pb2.RegressionRequest, bounds: Bounds
    ) -> inference_pb2.RegressionResponse:
        """Regress examples."""

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, bounds: Bounds
    ) -> inference_pb2.MultiInferenceResponse:
        """Several classifications and regressions of the same examples."""

    def metadata(
        self, request: inference_pb2.GetModelMetadataRequest
    ) -> inference_pb2.GetModelMetadataResponse:
        """The signatures of a model."""

    def session_run(
        self, request: inference_pb2.SessionRunRequest, bounds: Bounds
    ) -> inference_pb2.SessionRunResponse:
        """Run any tensors of the graph."""
