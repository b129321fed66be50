"""grpc.health.v1 that says what is so: of the whole server, of its services, and of each model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from client_runtime.serving.doors.services import MODELS, PREDICTION, SESSION
from client_runtime.serving.servable import Catalog
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import model_management_pb2

_ANSWERS = health_pb2.HealthCheckResponse
# The short names are TensorFlow Serving's, the long ones those that gRPC's clients expect.
_WHOLE = ("", "ModelService", "PredictionService", MODELS, PREDICTION, SESSION)
_AVAILABLE = model_management_pb2.ModelVersionStatus.AVAILABLE
_WATCH_SECONDS = 1.0


class Health(health.HealthServicer):  # type: ignore[misc]
    """The service. A model is asked for by its name.

    Check looks at the catalog; watchers hear of a change within a second.
    """

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self._catalog = catalog
        self._shown: dict[str, int] = {}
        self._refreshing = threading.Lock()
        self._watches: set[Callable[[Any], None]] = set()
        self._ended = threading.Event()
        self._follower = threading.Thread(target=self._follow, name="health", daemon=True)

    def start(self) -> None:
        """Begin to tell watchers."""
        self._follower.start()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - gRPC's
        """See grpc.health.v1."""
        self.refresh()
        return super().Check(request, context)

    def Watch(  # noqa: N802 - gRPC's
        self, request: Any, context: grpc.ServicerContext, send: Callable[[Any], None]
    ) -> Any:
        """See grpc.health.v1."""
        self.refresh()
        self._watches.add(send)
        context.add_callback(lambda: self._watches.discard(send))
        return super().Watch(request, context, send)

    def refresh(self) -> None:
        """Look at the catalog."""
        with self._refreshing:
            if self._ended.is_set():
                return
            states = self._states()
            for name in self._shown.keys() - states.keys():
                states[name] = _ANSWERS.SERVICE_UNKNOWN
            for name, state in states.items():
                if self._shown.get(name) != state:
                    self._shown[name] = state
                    self.set(name, state)

    def end(self) -> None:
        """Nothing is served any more: say so, and end the watches, which would last for ever."""
        with self._refreshing:
            self._ended.set()
            self.enter_graceful_shutdown()
        for send in tuple(self._watches):
            send(None)

    def _follow(self) -> None:
        while not self._ended.wait(_WATCH_SECONDS):
            self.refresh()

    def _states(self) -> dict[str, int]:
        models = {name: _state(self._is_available(name)) for name in self._catalog.names()}
        return {**models, **dict.fromkeys(_WHOLE, _state(self._catalog.ready()))}

    def _is_available(self, name: str) -> bool:
        try:
            versions = self._catalog.status(name, None).model_version_status
        except ServingError:
            return False
        return any(one.state == _AVAILABLE for one in versions)


def _state(is_serving: bool) -> int:
    return int(_ANSWERS.SERVING if is_serving else _ANSWERS.NOT_SERVING)
