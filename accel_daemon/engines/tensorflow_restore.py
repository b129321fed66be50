"""Gives variables and tables of an imported graph their values, from the files of its bundle.

What goes where was read from the model (`tensorflow_trace`); the ops that do it are made here. The
names of files are fed to them, so that no path of this host stands in the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from accel_daemon.engines import tensorflow_saved_model as saved_model
from accel_daemon.engines.tensorflow_graph import Graph, node_name
from accel_daemon.engines.tensorflow_trace import (
    Restoration,
    Saved,
    VocabularyFile,
    restorations,
    silence,
    vocabulary_files,
)
from accel_protocol.errors import ModelError
from accel_protocol.limits import Limits

_VARIABLES = Path("variables") / "variables"  # what all names of the variables' files begin with
_raw = tf.raw_ops


# Nodes that are what values are given to; anything else of such a name is a fed tensor.
_TARGETS = frozenset(
    {"VarHandleOp", "Variable", "VariableV2", "HashTable", "HashTableV2", "MutableDenseHashTable",
     "MutableDenseHashTableV2", "MutableHashTable", "MutableHashTableV2",
     "MutableHashTableOfTensors", "MutableHashTableOfTensorsV2"}
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """What a SavedModel's variables and tables get when it is loaded, read as data.

    Attributes:
        restorations: what is restored from the variables' files.
        vocabularies: tables that are filled from assets; the nodes that would do it are silenced.
        files: the files of these assets, by the tensors that stand for them.
        names: names of all assets inside the bundle, by the same.
        init_op: name of what else is to be run once, None for nothing.
    """

    restorations: Sequence[Restoration]
    vocabularies: Sequence[VocabularyFile]
    files: Mapping[str, Path]
    names: Mapping[str, str]
    init_op: str | None

    @property
    def init_fetches(self) -> tuple[str, ...]:
        """What has to be in the graph for the initialization."""
        return () if self.init_op is None else (f"^{self.init_op}",)


def read_state(meta_graph: Any, folder: Path, limits: Limits) -> State:
    """Read what a MetaGraphDef says of its state; silences the nodes that would read files.

    Raises:
        ModelError: it contradicts itself, or an asset is not there.
    """
    graph, most = Graph(meta_graph.graph_def), limits.graph_nodes
    restore_op, init_op = saved_model.restore_op(meta_graph), saved_model.init_op(meta_graph)
    restored = [] if restore_op is None else list(restorations(graph, restore_op, most))
    filled = [] if init_op is None else list(vocabulary_files(graph, init_op, most))
    names = saved_model.asset_names(meta_graph)
    filled = [one for one in filled if one.asset in names]
    files = {one.asset: saved_model.asset_file(folder, names[one.asset]) for one in filled}
    for one in filled:
        silence(one.node)
    return State(restored, filled, files, names, init_op)


def bring_back(session: Any, folder: Path, state: State, part: Any, done: set[str]) -> None:
    """Give what was imported its state, unless it has it already.

    Args:
        session: into whose graph `part` was imported.
        folder: the bundle's.
        state: what `read_state` gave.
        part: the GraphDef that was imported.
        done: names of nodes that have their state; what gets it is added.

    Raises:
        ModelError: the bundle has no variables' files.
        tf.errors.OpError: a value is missing, damaged, or of another dtype or shape.
    """
    there = {node.name for node in part.node if node.op in _TARGETS} - done
    restore_variables(
        session, folder, [one for one in state.restorations if node_name(one.target) in there]
    )
    fill_tables(
        session, [one for one in state.vocabularies if node_name(one.target) in there], state.files
    )
    if state.init_op is not None and state.init_op not in done:
        # What else asks for an asset's path gets its name inside the bundle: no path of this host
        # is ever in the graph.
        nodes = {node.name for node in part.node}
        names = {tensor: n for tensor, n in state.names.items() if node_name(tensor) in nodes}
        session.run(session.graph.get_operation_by_name(state.init_op), names)
        done.add(state.init_op)
    done |= there


def restore_variables(session: Any, folder: Path, wanted: Sequence[Restoration]) -> None:
    """Restore the variables and tables that are in the session's graph.

    Raises:
        ModelError: the bundle has no variables' files.
        tf.errors.OpError: a value is missing, damaged, or of another dtype or shape.
    """
    if not wanted:
        return
    prefix = folder / _VARIABLES
    if not prefix.with_name(prefix.name + ".index").is_file():
        raise ModelError("The model has variables, and no file variables/variables.index.")
    saved = list(dict.fromkeys(value for one in wanted for value in one.values))
    with session.graph.as_default(), tf.name_scope("accel_restore"):
        path = tf.compat.v1.placeholder(tf.string, [])
        restored = dict(zip(saved, _restored(path, saved), strict=True))
        ops = [_assignment(session.graph, one, restored) for one in wanted]
    session.run(ops, {path: str(prefix)})


def _restored(path: Any, saved: Sequence[Saved]) -> list[Any]:
    keys, parts = [one.key for one in saved], [one.part for one in saved]
    dtypes = [tf.as_dtype(one.dtype) for one in saved]
    result: list[Any] = _raw.RestoreV2(
        prefix=path, tensor_names=keys, shape_and_slices=parts, dtypes=dtypes
    )
    return result


def _assignment(graph: Any, one: Restoration, restored: Mapping[Saved, Any]) -> Any:
    target = graph.get_tensor_by_name(one.target)
    values = [restored[value] for value in one.values]
    return _ASSIGNMENTS[one.op](target, values, one.validate_shape)


def _assign(target: Any, values: list[Any], validate_shape: bool) -> Any:
    result = _raw.Assign(ref=target, value=values[0], validate_shape=validate_shape)
    return result.op


def _assign_variable(target: Any, values: list[Any], _: bool) -> Any:
    return _raw.AssignVariableOp(resource=target, value=values[0])


def _import_table(target: Any, values: list[Any], _: bool) -> Any:
    return _raw.LookupTableImport(table_handle=target, keys=values[0], values=values[1])


def _import_table_v2(target: Any, values: list[Any], _: bool) -> Any:
    return _raw.LookupTableImportV2(table_handle=target, keys=values[0], values=values[1])


_ASSIGNMENTS: Mapping[str, Callable[[Any, list[Any], bool], Any]] = {
    "Assign": _assign,
    "AssignVariableOp": _assign_variable,
    "LookupTableImport": _import_table,
    "LookupTableImportV2": _import_table_v2,
}


def fill_tables(session: Any, wanted: Iterable[VocabularyFile], files: Mapping[str, Path]) -> None:
    """Fill the tables that are in the session's graph from files of the bundle.

    Args:
        session: whose graph has the tables.
        wanted: which table is filled from which asset, and how its lines are read.
        files: the assets' files by tensor name.

    Raises:
        tf.errors.OpError: a file is not as the table expects it.
    """
    ops, fed = [], {}
    with session.graph.as_default(), tf.name_scope("accel_tables"):
        for one in wanted:
            path = tf.compat.v1.placeholder(tf.string, [])
            fed[path] = str(files[one.asset])
            ops.append(_text_file(session.graph.get_tensor_by_name(one.target), path, one))
    if ops:
        session.run(ops, fed)


def _text_file(table: Any, path: Any, one: VocabularyFile) -> Any:
    names = ("key_index", "value_index", "vocab_size", "delimiter", "offset")
    how = {name: one.attributes[name] for name in names if name in one.attributes}
    return getattr(_raw, one.op)(table_handle=table, filename=path, **how)
