"""Running a model in this process with the user's own TensorFlow, as an accelerator would run it.

For comparing, and for `use_ei=False`. This module is the only one of the client that runs graphs;
importing it loads no TensorFlow, constructing a `LocalPredictor` does.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import ConfigurationError, DeadlineError, FeedError, GraphError
from accel_protocol.manifest import FROZEN_GRAPH, SAVED_MODEL
from accel_protocol.tensors import Array
from client_runtime.models import frozen_graph, saved_model
from client_runtime.models.saved_model import TensorInfo
from client_runtime.models.selection import Selection


def require_tensorflow(what: str) -> Any:
    """The user's TensorFlow, imported now.

    Args:
        what: the thing that needs it, as the error's first words.

    Raises:
        ConfigurationError: not installed (ENGINE_MISSING).
    """
    try:
        import tensorflow
    except ImportError as error:
        raise ConfigurationError(
            f"{what} needs TensorFlow: importing {error.name or 'it'} failed.",
            reason="ENGINE_MISSING",
            remedy="pip install 'elastic-accelerator[local]'.",
        ) from error
    return tensorflow


class LocalPredictor:
    """A model in a Session of this process. `run` may be called from several threads at once.

    Args:
        model: SavedModel directory, or the file of a frozen graph.
        format_: the manifest's name of what `model` is.
        selection: tag set, feeds and fetches.
        graph: a tf.Graph to load the model into; by default a new one.
        config: a tf.compat.v1.ConfigProto for the Session; by default one that places ops where
            there is a device for them.

    Attributes:
        graph: the tf.Graph the model was loaded into.
        session: the tf.compat.v1.Session it runs in.

    Raises:
        ConfigurationError: TensorFlow is not installed.
        ValueError: `graph` has nodes that are called as the model's.
        Exception: whatever TensorFlow raises when it cannot load the model.
    """

    def __init__(
        self,
        model: Path,
        format_: str,
        selection: Selection,
        *,
        graph: Any = None,
        config: Any = None,
    ) -> None:
        self._tf = tf = require_tensorflow("Running a model locally (use_ei=False)")
        self._selection = selection
        self.graph = tf.Graph() if graph is None else graph
        chosen = tf.compat.v1.ConfigProto(allow_soft_placement=True) if config is None else config
        self.session = tf.compat.v1.Session(graph=self.graph, config=chosen)
        try:
            self._refuse_taken_names(model, format_)
            _LOADERS[format_](self, model)
            self._feeds = self._tensors({a: info.name for a, info in selection.feeds.items()})
            self._fetches = self._tensors({a: info.name for a, info in selection.fetches.items()})
        except BaseException:
            self.session.close()
            raise

    def _refuse_taken_names(self, model: Path, format_: str) -> None:
        taken = {operation.name for operation in self.graph.get_operations()}
        if not taken:
            return
        both = sorted(taken & _NODES[format_](model, self._selection).keys())
        if both:
            # TensorFlow would rename the model's nodes, and the names would mean the others.
            raise ValueError(
                f"The given graph has nodes that are called as the model's: {both[:5]}."
            )

    def _load_saved_model(self, model: Path) -> None:
        with self.graph.as_default():
            tags = list(self._selection.tags)
            self._tf.compat.v1.saved_model.load(self.session, tags, str(model))

    def _load_frozen_graph(self, model: Path) -> None:
        graph_def = self._tf.compat.v1.GraphDef.FromString(model.read_bytes())
        with self.graph.as_default():
            self._tf.import_graph_def(graph_def, name="")

    def _tensors(self, names: Mapping[str, str]) -> dict[str, Any]:
        return {alias: self.graph.get_tensor_by_name(name) for alias, name in names.items()}

    def selecting(self, selection: Selection) -> LocalPredictor:
        """Another selection of the same model in the same Session, which is closed by either."""
        other = copy.copy(self)
        other._selection = selection
        other._feeds = other._tensors({a: info.name for a, info in selection.feeds.items()})
        other._fetches = other._tensors({a: info.name for a, info in selection.fetches.items()})
        return other

    @property
    def feed_tensors(self) -> dict[str, Any]:
        """The tf.Tensors that can be fed, by alias."""
        return dict(self._feeds)

    @property
    def fetch_tensors(self) -> dict[str, Any]:
        """The tf.Tensors that are fetched, by alias."""
        return dict(self._fetches)

    def run(self, feeds: Mapping[str, Array], timeout: float | None = None) -> dict[str, Array]:
        """All fetches for these feeds; feeds left out are not fed.

        Args:
            feeds: by alias.
            timeout: seconds until the work is stopped, None for no bound.

        Raises:
            DeadlineError: the time ran out.
            FeedError: an unknown alias, or a value that does not convert to the tensor's dtype.
            GraphError: the graph failed; TensorFlow's own exception is the cause.
        """
        values = {self._fed(a).name: self._convert(a, value) for a, value in feeds.items()}
        # TensorFlow refuses to fetch what is fed; the answer is the fed value.
        wanted = {t.name: t for t in self._fetches.values() if t.name not in values}
        results = dict(zip(wanted, self._call(values, list(wanted.values()), timeout), strict=True))
        return {
            alias: np.asarray(results.get(tensor.name, values.get(tensor.name)), _numpy(tensor))
            for alias, tensor in self._fetches.items()
        }

    def _fed(self, alias: str) -> Any:
        if alias not in self._feeds:
            raise FeedError(f"The graph has no feed {alias!r}; it has: {sorted(self._feeds)}.")
        return self._feeds[alias]

    def _convert(self, alias: str, value: Array) -> Array:
        number = self._feeds[alias].dtype.base_dtype.as_datatype_enum
        given = dtypes.number_of(value.dtype)
        if dtypes.STRING in (number, given) and number != given:
            raise FeedError(f"Feed {alias!r} has to be of dtype {dtypes.name_of(number)}.")
        return value.astype(dtypes.numpy_of(number), copy=False)

    def _call(
        self, values: Mapping[str, Array], wanted: list[Any], timeout: float | None
    ) -> list[Any]:
        if not wanted:
            return []
        feed = {
            self.graph.get_tensor_by_name(name)._as_tf_output(): v for name, v in values.items()
        }
        fetch = [tensor._as_tf_output() for tensor in wanted]
        try:
            # As the accelerator does it: past Session.run's check of shapes against placeholders,
            # because a fed tensor cuts the graph.
            self.session._extend_graph()
            with self._run_options(timeout) as options:
                answer: list[Any] = self.session._call_tf_sessionrun(options, feed, fetch, [], None)
        except self._tf.errors.DeadlineExceededError as error:
            raise DeadlineError("The graph was stopped: the call's time ran out.") from error
        except self._tf.errors.OpError as error:
            raise GraphError(f"{type(error).__name__}: {error.message}") from error
        return answer

    @contextmanager
    def _run_options(self, timeout: float | None) -> Iterator[Any]:
        """A native buffer with RunOptions, None without a time-out."""
        if timeout is None:
            yield None
            return
        from tensorflow.python.client import pywrap_tf_session as native

        options = self._tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(timeout * 1000)))
        buffer = native.TF_NewBufferFromString(options.SerializeToString())
        try:
            yield buffer
        finally:
            native.TF_DeleteBuffer(buffer)

    def close(self) -> None:
        """Free what the Session holds; running calls end with an error."""
        self.session.close()

    def __enter__(self) -> LocalPredictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_LOADERS: Mapping[str, Callable[[LocalPredictor, Path], None]] = {
    SAVED_MODEL: LocalPredictor._load_saved_model,
    FROZEN_GRAPH: LocalPredictor._load_frozen_graph,
}


def _saved_model_nodes(model: Path, selection: Selection) -> Mapping[str, TensorInfo]:
    meta_graph = saved_model.find(saved_model.read(model), frozenset(selection.tags))
    return saved_model.tensors_of_graph(meta_graph.graph_def) if meta_graph else {}


_NODES: Mapping[str, Callable[[Path, Selection], Mapping[str, TensorInfo]]] = {
    SAVED_MODEL: _saved_model_nodes,
    FROZEN_GRAPH: lambda model, _: frozen_graph.read(model),
}


def _numpy(tensor: Any) -> np.dtype[np.generic]:
    return dtypes.numpy_of(tensor.dtype.base_dtype.as_datatype_enum)
