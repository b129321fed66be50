"""A peer: TensorFlow's own session over the network, grpc://, which has neither TLS nor keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.floors import start_server
from benchmarks.local_tensorflow import open_session
from benchmarks.work import FETCH, WORKS
from benchmarks.worker import Caller


class GrpcSession:
    """See the module.

    Args:
        models: folder of the SavedModels.
    """

    def __init__(self, models: str) -> None:
        import tensorflow as tf

        self._tf, self._models = tf, Path(models)
        self._server, port = start_server("tensorflow", self._models)
        self._target = f"grpc://127.0.0.1:{port}"
        self._sessions: dict[str, tuple[Any, Any, Any]] = {}

    def caller(self, work: str, way: str) -> Caller:
        """See `worker.Contestant`."""
        model = WORKS[work].model
        if model not in self._sessions:
            self._sessions[model] = open_session(self._tf, self._target, self._models / model)
        session, fed, fetched = self._sessions[model]
        feed = WORKS[work].feed()
        return lambda: session.run({FETCH: fetched}, {fed: feed})
