"""TensorFlow in the caller's own process, three ways: "session", "prepared" and "function"."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.work import FEED, FETCH, WORKS
from benchmarks.worker import Caller


class LocalTensorflow:
    """See the module.

    Args:
        models: folder of the SavedModels.
    """

    def __init__(self, models: str) -> None:
        import tensorflow as tf

        self._tf, self._models = tf, Path(models)
        self._sessions: dict[str, tuple[Any, Any, Any]] = {}

    def caller(self, work: str, way: str) -> Caller:
        """See `worker.Contestant`."""
        feed, model = WORKS[work].feed(), WORKS[work].model
        if way == "function":
            function = self._tf.saved_model.load(str(self._models / model)).signatures
            serve = function["serving_default"]
            return lambda: serve(x=self._tf.constant(feed))[FETCH].numpy()
        if model not in self._sessions:
            self._sessions[model] = open_session(self._tf, "", self._models / model)
        session, fed, fetched = self._sessions[model]
        if way == "prepared":
            prepared = session.make_callable([fetched], feed_list=[fed])
            return lambda: prepared(feed)
        return lambda: session.run({FETCH: fetched}, {fed: feed})

    def do_first_call(self, model: str, work: str) -> float:
        """Seconds of tf.saved_model.load and the first call of a model given by its folder."""
        feed = WORKS[work].feed()
        started = time.perf_counter()
        serve = self._tf.saved_model.load(model).signatures["serving_default"]
        serve(x=self._tf.constant(feed))[FETCH].numpy()
        return time.perf_counter() - started


def open_session(tf: Any, target: str, model: Path) -> tuple[Any, Any, Any]:
    """A Session on `target` with the model in it, and the names of its feed and fetch."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(target, graph=graph)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(model))
    signature = loaded.signature_def["serving_default"]
    names = signature.inputs[FEED].name, signature.outputs[FETCH].name
    fed, fetched = (graph.get_tensor_by_name(name) for name in names)
    return session, fed, fetched
