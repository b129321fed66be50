"""The TensorFlow engine: SavedModels of TensorFlow 1 and 2, and frozen graphs.

Each has a Session of its own, and not the eager runtime, for two reasons: any tensor can be fed and
fetched by name, and variables of equal names in different models never meet. Graphs of one model
whose owner wants that have one Session together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session as tf_session

from accel_daemon.engines import (
    compiled_rules,
    tensorflow_batch,
    tensorflow_cost,
    tensorflow_flat,
    tensorflow_frozen,
    tensorflow_import,
    tensorflow_restore,
    tensorflow_weights,
)
from accel_daemon.engines import tensorflow_saved_model as saved_model
from accel_daemon.engines.engine import Cost, TensorSpec, Weights
from accel_daemon.engines.sharing import NotSharedError, Shared
from accel_daemon.engines.tensorflow_admission import Policy
from accel_daemon.engines.tensorflow_flat import Fed
from accel_daemon.engines.tensorflow_import import admitted_part, check_named, import_part
from accel_daemon.engines.tensorflow_ops import ADMITTED
from accel_daemon.engines.tensorflow_prepared import PreparedModel
from accel_daemon.engines.tensorflow_session import SharedSession
from accel_daemon.engines.tensorflow_state import changes_state, is_repeatable
from accel_protocol import dtypes, manifest
from accel_protocol.errors import (
    AcceleratorError,
    CancelledError,
    DeadlineError,
    FeedError,
    GraphError,
    LimitError,
    ModelError,
)
from accel_protocol.limits import Limits
from accel_protocol.manifest import Manifest
from accel_protocol.tensors import Array

_MESSAGE_CHARACTERS = 2000
# A path may hold blanks, so everything up to a delimiter goes; a slash inside a node's name has a
# word before it and stays.
_PATH = re.compile(r"(?:\b\w+:/{1,2})?(?<![\w}.-])/(?!\s)[^;'\"\n()\[\]{}]*")


class TensorFlowEngine:
    """TensorFlow in this process."""

    version = tensorflow_import.VERSION

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def weigh(self, folder: Path, manifest_: Manifest) -> Weights:
        """See `Engine.weigh`."""
        try:
            name, kind = _FILES[manifest_.format]
            saved_model.check_messages(folder / name, kind, self.policy.limits)
        except (LimitError, OSError, KeyError):
            return Weights(0, 0)  # loading says what is wrong with it
        return tensorflow_weights.weigh(folder, manifest_)

    def load(
        self, folder: Path, manifest_: Manifest, shared: Shared | None = None
    ) -> TensorFlowGraph:
        """See `Engine.load`."""
        if shared is not None:
            return self._load_shared(folder, manifest_, shared)
        load = _LOADERS.get(manifest_.format)
        if load is None:
            raise ModelError(f"TensorFlow cannot load the format {manifest_.format!r}.")
        session = _new_session()
        try:
            with _typed_errors():
                return load(session, folder, manifest_, self.policy)
        except BaseException:
            session.close()
            raise

    def _load_shared(self, folder: Path, manifest_: Manifest, shared: Shared) -> TensorFlowGraph:
        if manifest_.format != manifest.SAVED_MODEL:
            raise NotSharedError("only SavedModels have signatures")
        if shared.held is None:
            shared.held = SharedSession(_new_session())
        with _typed_errors():
            return _load_beside_others(shared.held, folder, manifest_, self.policy)


@contextmanager
def _typed_errors() -> Iterator[None]:
    """Whatever loading fails with, as a ModelError."""
    try:
        yield
    except (AcceleratorError, NotSharedError):
        raise
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load this model: {_safe_text(error)}") from error


def open_engine(limits: Limits, allowed_ops: Mapping[str, str]) -> TensorFlowEngine:
    """TensorFlow, warm: its first Session is paid for here and not by the first caller."""
    # Its advice is for programmers of TensorFlow, not for operators of a daemon.
    tf.get_logger().setLevel("ERROR")
    with _new_session() as session:
        session.run(tf.constant(0))
    return TensorFlowEngine(Policy(limits, allowed_ops))


def _new_session() -> Any:
    return tf.compat.v1.Session(graph=tf.Graph(), config=_session_config())


def _session_config() -> Any:
    # Growth, because several accelerators may share one GPU.
    gpu = tf.compat.v1.GPUOptions(allow_growth=True)
    # Above L0 the runtime folds a loop whose condition is constant by running it, and neither a
    # time-out nor closing the Session ends that. Grappler's optimizations are not affected.
    level = tf.compat.v1.OptimizerOptions(opt_level=tf.compat.v1.OptimizerOptions.L0)
    return tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        gpu_options=gpu,
        graph_options=tf.compat.v1.GraphOptions(optimizer_options=level),
    )


@dataclass(frozen=True)
class _SavedModel:
    """What of a SavedModel is wanted: its admitted part, and what that part's state is."""

    meta_graph: Any
    feeds: Mapping[str, str]
    fetches: Mapping[str, str]
    state: tensorflow_restore.State
    part: Any

    @property
    def producer_ops(self) -> Any:
        """See `import_part`."""
        return self.meta_graph.meta_info_def.stripped_op_list


def _read_saved_model(folder: Path, manifest_: Manifest, policy: Policy) -> _SavedModel:
    selection = manifest_.selection
    meta_graph = saved_model.read_meta_graph(folder, selection.tags, policy.limits)
    feeds, fetches = dict(selection.feeds), dict(selection.fetches)
    if selection.signature is not None:
        feeds, fetches = _signature_tensors(meta_graph, selection.signature)
    if not fetches:
        raise ModelError("The selection names no fetches.")
    state = tensorflow_restore.read_state(meta_graph, folder, policy.limits)
    needed = [*fetches.values(), *state.init_fetches]
    part = admitted_part(policy, meta_graph.graph_def, feeds.values(), needed)
    check_named(part, [*feeds.values(), *fetches.values()])
    return _SavedModel(meta_graph, feeds, fetches, state, part)


def _load_saved_model(
    session: Any, folder: Path, manifest_: Manifest, policy: Policy
) -> TensorFlowGraph:
    model = _read_saved_model(folder, manifest_, policy)
    import_part(session, model.part, model.producer_ops)
    graph = TensorFlowGraph(session, model.feeds, model.fetches, model.part)
    tensorflow_restore.bring_back(session, folder, model.state, model.part, set())
    return graph


def _load_beside_others(
    shared: SharedSession, folder: Path, manifest_: Manifest, policy: Policy
) -> TensorFlowGraph:
    model = _read_saved_model(folder, manifest_, policy)
    if shared.changes is None:
        shared.changes = _changes(model.meta_graph, policy)
    if not shared.changes and not is_repeatable(model.part, model.fetches.values()):
        # The others may be compiled, and then do not see what it changes.
        raise NotSharedError("it changes state, and no signature of its model does")
    session = shared.session
    shared.add(
        model.part, lambda part, sources: import_part(session, part, model.producer_ops, sources)
    )
    graph = TensorFlowGraph(session, model.feeds, model.fetches, model.part, shared)
    tensorflow_restore.bring_back(session, folder, model.state, model.part, shared.done)
    return graph


def _changes(meta_graph: Any, policy: Policy) -> bool:
    signatures = [
        signature
        for key, signature in meta_graph.signature_def.items()
        if key != saved_model.INIT_SIGNATURE
    ]
    return changes_state(
        meta_graph.graph_def, signatures, lambda op: op in ADMITTED or op in policy.allowed
    )


def _load_frozen_graph(
    session: Any, folder: Path, manifest_: Manifest, policy: Policy
) -> TensorFlowGraph:
    selection = manifest_.selection
    if [file.name for file in manifest_.files] != [manifest.FROZEN_GRAPH_FILE]:
        raise ModelError(f"A frozen graph is one file called {manifest.FROZEN_GRAPH_FILE}.")
    if selection.signature is not None or not selection.fetches:
        raise ModelError("A frozen graph has no signatures: its feeds and fetches must be named.")
    feeds, fetches = selection.feeds, selection.fetches
    path = folder / manifest.FROZEN_GRAPH_FILE
    graph_def = saved_model.read_message(path, tf.compat.v1.GraphDef, policy.limits)
    part = admitted_part(policy, graph_def, feeds.values(), fetches.values())
    import_part(session, part)
    return TensorFlowGraph(session, feeds, fetches, part)


_FILES = {
    manifest.SAVED_MODEL: (saved_model.BINARY_NAME, saved_model_pb2.SavedModel),
    manifest.FROZEN_GRAPH: (manifest.FROZEN_GRAPH_FILE, tf.compat.v1.GraphDef),
}
_LOADERS = {
    manifest.SAVED_MODEL: _load_saved_model,
    manifest.FROZEN_GRAPH: _load_frozen_graph,
}


def _signature_tensors(meta_graph: Any, key: str) -> tuple[dict[str, str], dict[str, str]]:
    if key not in meta_graph.signature_def:
        known = ", ".join(sorted(meta_graph.signature_def))
        raise ModelError(f"The model has no signature {key!r}; it has: {known}.")
    signature = meta_graph.signature_def[key]
    return (
        {alias: info.name for alias, info in signature.inputs.items()},
        {alias: info.name for alias, info in signature.outputs.items()},
    )


class TensorFlowGraph:
    """One graph with a fixed set of named feeds and fetches."""

    executed_by = tensorflow_import.VERSION

    def __init__(
        self,
        session: Any,
        feeds: Mapping[str, str],
        fetches: Mapping[str, str],
        graph_def: Any,
        shared: SharedSession | None = None,
    ) -> None:
        """Take what was imported.

        Args:
            session: into whose graph.
            feeds: names of tensors by alias.
            fetches: the same.
            graph_def: the part that was imported for them.
            shared: the Session's, where other graphs use it too; it is left open then.
        """
        self._session, self._is_own = session, shared is None
        self._outputs: dict[str, Any] = {}
        self._reads = shared.reads if shared is not None else {}
        self.feeds: Mapping[str, TensorSpec] = {
            alias: self._spec(alias, name) for alias, name in feeds.items()
        }
        self.fetches: Mapping[str, TensorSpec] = {
            alias: self._spec(alias, name) for alias, name in fetches.items()
        }
        self.repeatable = is_repeatable(graph_def, fetches.values())
        # Neither its own calls nor another graph's change what it computes from.
        self.is_steady = self.repeatable and not (shared is not None and shared.changes)
        self._definition = tensorflow_flat.without_large_constants(graph_def, fetches.values())
        # The graph is complete; Session.run would check that again at every call.
        session._extend_graph()

    def _spec(self, alias: str, name: str) -> TensorSpec:
        try:
            tensor = self._session.graph.get_tensor_by_name(name)
        except (KeyError, ValueError) as error:
            raise ModelError(f"The graph has no tensor {name!r}.") from error
        self._outputs[tensor.name] = tensor._as_tf_output()
        dtype = tensor.dtype.base_dtype.as_datatype_enum
        if dtype not in dtypes.supported():
            raise ModelError(f"Tensor {name!r} is {tensor.dtype.name}, which cannot be sent.")
        return TensorSpec(alias, tensor.name, dtype, _shape(tensor.shape))

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        values = {self.feeds[alias].tensor: v for alias, v in self.convert(feeds).items()}
        fetched = list(dict.fromkeys(s.tensor for s in self.fetches.values()))
        # TensorFlow refuses to fetch what is fed; the answer is the fed value.
        wanted = [tensor for tensor in fetched if tensor not in values]
        results = dict(zip(wanted, self._call(values, wanted, timeout), strict=True))
        return {
            alias: self.as_fetched(alias, results.get(spec.tensor, values.get(spec.tensor)))
            for alias, spec in self.fetches.items()
        }

    def convert(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Feeds of the dtypes that the graph has.

        Raises:
            FeedError: see `Graph.run`.
        """
        return {self._fed(alias).name: self._convert(alias, v) for alias, v in feeds.items()}

    def as_fetched(self, alias: str, value: Any) -> Array:
        """What an engine answered, as an array of the fetch's dtype."""
        return _as_array(value, self.fetches[alias].dtype)

    def is_freezable(self) -> bool:
        """Whether `frozen` may succeed."""
        kinds = {spec.dtype for spec in self.feeds.values()}
        return self.is_steady and bool(kinds) and kinds <= compiled_rules.FED_TYPES

    def keep_reads(self) -> None:
        """Make `frozen` possible; before the first run."""
        tensorflow_frozen.add_reads(self._session.graph, self._reads)
        self._session._extend_graph()

    def frozen(self, feeds: Mapping[str, Fed], fetches: Sequence[str]) -> Any:
        """The GraphDef that computes fetches from feeds, all by the names of tensors.

        Raises:
            NotFrozenError: there is none.
        """
        return tensorflow_frozen.freeze(self._session, self._reads, feeds, fetches)

    def why_not_batched(self) -> str | None:
        """Why calls cannot be answered together; None where they can."""
        return tensorflow_batch.why_not_batched(
            self._definition, self.feeds.values(), self.fetches.values()
        )

    def prepared(self, feeds: Sequence[str], fetches: Sequence[str]) -> PreparedModel:
        """The graph as a callable for these tensors, by their names; see there."""
        return PreparedModel(self._session, feeds, fetches)

    def _fed(self, alias: str) -> TensorSpec:
        if alias not in self.feeds:
            raise FeedError(f"The graph has no feed {alias!r}; it has: {sorted(self.feeds)}.")
        return self.feeds[alias]

    def _convert(self, alias: str, value: Array) -> Array:
        number = self.feeds[alias].dtype
        wanted = dtypes.numpy_of(number)
        if value.dtype == wanted:
            return value
        if dtypes.STRING in (number, dtypes.number_of(value.dtype)):
            raise FeedError(f"Feed {alias!r} has to be of dtype {dtypes.name_of(number)}.")
        return value.astype(wanted)

    def _call(self, values: Mapping[str, Array], wanted: list[str], timeout: float | None) -> Any:
        if not wanted:
            return []
        options = _run_options(timeout)
        feed = {self._outputs[name]: value for name, value in values.items()}
        fetch = [self._outputs[name] for name in wanted]
        try:
            # Session.run with its Python-side shape check left out: a fed tensor cuts the graph,
            # and what its placeholder once declared does not matter any more.
            return self._session._call_tf_sessionrun(options, feed, fetch, [], None)
        except tf.errors.OpError as error:
            raise _typed(error) from error
        finally:
            if options is not None:
                tf_session.TF_DeleteBuffer(options)

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """See `Graph.cost`."""
        feeds = {
            spec.tensor: Fed(spec.dtype, shapes[alias])
            for alias, spec in self.feeds.items()
            if alias in shapes
        }
        fetches = [spec.tensor for spec in self.fetches.values()]
        return tensorflow_cost.cost(self._definition, feeds, fetches)

    def close(self) -> None:
        """See `Graph.close`; what runs in a Session of several graphs goes on."""
        if self._is_own:
            self._session.close()


def _shape(shape: Any) -> tuple[int, ...] | None:
    if shape.rank is None:
        return None
    return tuple(-1 if size is None else size for size in shape.as_list())


def _run_options(timeout: float | None) -> Any:
    """A native buffer with RunOptions, to be freed by the caller; None without a time-out."""
    if timeout is None:
        return None
    milliseconds = max(1, int(timeout * 1000))
    options = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds)
    return tf_session.TF_NewBufferFromString(options.SerializeToString())


def _as_array(value: Any, dtype: int) -> Array:
    # A scalar comes back as bytes or a NumPy scalar.
    return np.asarray(value, dtype=dtypes.numpy_of(dtype))


def _typed(error: Any) -> AcceleratorError:
    text = _safe_text(error)
    if isinstance(error, tf.errors.DeadlineExceededError):
        return DeadlineError("The graph was stopped: the call's time ran out.")
    if isinstance(error, tf.errors.CancelledError):
        return CancelledError("The graph was stopped.")
    return GraphError(f"{type(error).__name__}: {text}")


def _safe_text(error: Exception) -> str:
    """TensorFlow's message without the trace of Python frames and without paths of this host."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    message = message.split("\n\nOriginal stack trace", 1)[0].split("\nDefined at", 1)[0]
    return _PATH.sub("<path>", message)[:_MESSAGE_CHARACTERS].strip()
