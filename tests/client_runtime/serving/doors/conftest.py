"""A catalog and an inference in NumPy, and servers in front of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from accel_protocol.errors import Status
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.access.room import Room
from client_runtime.serving.doors.channel_arguments import Arguments
from client_runtime.serving.doors.grpc_server import GrpcServer
from client_runtime.serving.doors.health import Health
from client_runtime.serving.doors.services import SERVICES, services
from client_runtime.serving.events import Event
from client_runtime.serving.servable import Bounds, Servable
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from client_runtime.serving_wire.methods import SERVICES as METHODS
from tests.conftest import patience


@dataclass
class Models:
    """Both a Catalog and an Inference: `m` adds 1 to x; `blocks`, `breaks` and `refuses` do so.

    Attributes:
        available: the models that have a version.
        asked: the bounds of every request so far.
        let_go: lets requests of `blocks` end.
    """

    available: set[str] = field(default_factory=lambda: {"m"})
    asked: list[Bounds] = field(default_factory=list)
    reloaded: list[Any] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def use(self, spec: inference_pb2.ModelSpec) -> AbstractContextManager[Servable]:
        """See the Protocol."""
        raise NotImplementedError

    def names(self) -> Sequence[str]:
        """See the Protocol."""
        return sorted({"m", "late", *self.available})

    def labels(self, name: str) -> Mapping[str, int]:
        """See the Protocol."""
        return {}

    def status(self, name: str, version: int | None) -> Any:
        """See the Protocol."""
        response = model_management_pb2.GetModelStatusResponse()
        if name not in self.names() or version not in (None, 1):
            raise ServingError(Status.NOT_FOUND, f"Could not find version {version} of {name}")
        states = model_management_pb2.ModelVersionStatus
        state = states.AVAILABLE if name in self.available else states.LOADING
        response.model_version_status.add(version=1, state=state)
        return response

    def reload(self, config: Any, bounds: Bounds) -> None:
        """See the Protocol."""
        self.reloaded.append(config)

    def ready(self) -> bool:
        """See the Protocol."""
        return "late" in self.available

    def predict(self, request: Any, bounds: Bounds) -> Any:
        """See the Protocol."""
        self.asked.append(bounds)
        self.entered.set()
        match request.model_spec.name:
            case "blocks":
                self.let_go.wait(patience(30))
            case "breaks":
                raise RuntimeError("a secret of the server")
            case "refuses":
                raise ServingError(Status.FAILED_PRECONDITION, "é" * 2000)
        response = inference_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        (value,) = request.inputs["x"].float_val or [0.0]
        response.outputs["y"].float_val.append(value + 1)
        return response

    def classify(self, request: Any, bounds: Bounds) -> Any:
        """See the Protocol."""
        return inference_pb2.ClassificationResponse(model_spec={"name": "classified"})

    def regress(self, request: Any, bounds: Bounds) -> Any:
        """See the Protocol."""
        return inference_pb2.RegressionResponse(model_spec={"name": "regressed"})

    def multi_inference(self, request: Any, bounds: Bounds) -> Any:
        """See the Protocol."""
        return inference_pb2.MultiInferenceResponse(results=[{"model_spec": {"name": "both"}}])

    def session_run(self, request: Any, bounds: Bounds) -> Any:
        """See the Protocol."""
        return inference_pb2.SessionRunResponse(model_spec={"name": "run"})

    def metadata(self, request: Any) -> Any:
        """See the Protocol."""
        return inference_pb2.GetModelMetadataResponse(model_spec={"name": "described"})


@dataclass
class Door:
    """A running gRPC server.

    Attributes:
        socket: its address, for clients.
    """

    server: GrpcServer
    models: Models
    socket: str
    told: list[Event]

    def call(self, service: str, name: str, request: Any = None, **options: Any) -> Any:
        """Make a call on a channel of its own."""
        method = METHODS[f"tensorflow.serving.{service}"][name]
        message = method.request() if request is None else request
        with grpc.insecure_channel(self.socket) as channel:
            stub = channel.unary_unary(
                method.path, method.request.SerializeToString, method.response.FromString
            )
            return stub(message, **{"timeout": patience(30), **options})

    def predict(self, model: str, value: float = 1.0, **options: Any) -> float:
        """Ask a model for y."""
        request = inference_pb2.PredictRequest(model_spec={"name": model})
        request.inputs["x"].float_val.append(value)
        answer = self.call("PredictionService", "Predict", request, **options)
        return float(answer.outputs["y"].float_val[0])


Opens = Callable[..., Door]


@pytest.fixture
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opens]:
    """Opens a gRPC server on a UNIX socket."""
    opened: list[Door] = []

    def opens(keys: str | None = None, arguments: Arguments | None = None, places: int = 0) -> Door:
        models, told = Models(), []
        key_file = None if keys is None else KeyFile(keys)
        guard = Guard(key_file, told.append, Room(places))
        socket = f"unix:{tmp_path_factory.mktemp('door')}/s"
        reloads = lambda _: len(models.reloaded)  # noqa: E731
        handlers = services(models, models, guard, reloads, told.append)
        server = GrpcServer(handlers, SERVICES, guard, 8, arguments or [], Health(models))
        server.listen(socket, None)
        server.start()
        opened.append(Door(server, models, socket, told))
        return opened[-1]

    yield opens
    for one in opened:
        one.models.let_go.set()
        with contextlib.suppress(RuntimeError):
            one.server.drain(0)
