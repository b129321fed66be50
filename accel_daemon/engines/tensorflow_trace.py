"""Reads what a SavedModel's restore and initialization would do, without running any of it.

Both are graphs of their own inside the file, which could do anything. They are read as data: which
variable or table gets what, followed through calls of functions.

Pure: it looks at messages and imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from accel_daemon.engines.tensorflow_graph import Graph, node_name, output_index

_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_SAME_VALUE = frozenset({"Identity", "RefIdentity"})
_MOST_STEPS = 100  # from a tensor to where it comes from
# Each gives its first input, a variable or a table, the values of the others.
_ASSIGNMENTS = frozenset({"Assign", "AssignVariableOp", "LookupTableImport", "LookupTableImportV2"})
_TEXT_FILES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})


@dataclass(frozen=True)
class Saved:
    """A tensor of the variables' files: its key there, the part of it ("" for all), its dtype."""

    key: str
    part: str
    dtype: int


@dataclass(frozen=True)
class Restoration:
    """What restores one variable or table: a node's op, its target, and the saved values."""

    op: str
    target: str
    values: tuple[Saved, ...]
    validate_shape: bool


@dataclass(frozen=True)
class VocabularyFile:
    """A table that is filled from a text file.

    Attributes:
        node: the node that fills it.
        op, attributes: that node's, still there when it is silenced.
        target: name of the table's tensor.
        asset: name of the tensor that holds the file's name.
    """

    node: Any
    op: str
    attributes: Mapping[str, Any]
    target: str
    asset: str


def silence(node: Any) -> None:
    """Make a node without outputs do nothing; it still waits for what it waited for."""
    controls = [source for source in node.input if source.startswith("^")]
    node.op = "NoOp"
    node.attr.clear()
    del node.input[:]
    node.input.extend(controls)


@dataclass(frozen=True)
class _Frame:
    """Where a node is: in the graph, or in a function that was called with these tensors."""

    nodes: Mapping[str, Any]
    arguments: Mapping[str, tuple[str, _Frame]] = field(default_factory=dict)
    is_graph: bool = False


def restorations(graph: Graph, restore_op: str, most_nodes: int) -> Iterator[Restoration]:
    """What a SavedModel's restore op does, as far as it is a plain restoration.

    Args:
        graph: the whole graph.
        restore_op: the op's name.
        most_nodes: how many nodes are looked at.
    """
    for node, frame in _walk(graph, restore_op, most_nodes):
        if node.op in _ASSIGNMENTS and len(node.input) > 1:
            target, *sources = (_resolve(source, frame) for source in _data(node))
            values = [_saved(source) for source in sources]
            if target is not None and target.frame.is_graph and all(values):
                saved = tuple(value for value in values if value is not None)
                checked = "validate_shape" not in node.attr or node.attr["validate_shape"].b
                yield Restoration(node.op, target.tensor, saved, checked)


def vocabulary_files(graph: Graph, init_op: str, most_nodes: int) -> Iterator[VocabularyFile]:
    """The tables that a SavedModel's initialization fills from files.

    Args:
        graph: the whole graph.
        init_op: the op's name.
        most_nodes: how many nodes are looked at.
    """
    steps = list(_walk(graph, init_op, most_nodes))
    held = dict(_held(steps))
    for node, frame in steps:
        if node.op in _TEXT_FILES and len(_data(node)) == 2:
            table, name = (_resolve(source, frame) for source in _data(node))
            if name is not None and name.node.op == "ReadVariableOp" and name.node.input:
                variable = _resolve(name.node.input[0], name.frame)
                name = held.get(variable.tensor) if variable and variable.frame.is_graph else None
            if table and name and table.frame.is_graph and name.frame.is_graph:
                attributes = {key: _value(value) for key, value in node.attr.items()}
                yield VocabularyFile(node, node.op, attributes, table.tensor, name.tensor)


def _held(steps: Iterable[tuple[Any, _Frame]]) -> Iterator[tuple[str, _Source]]:
    """What variables of the graph are given, by name: TensorFlow 2 keeps names of assets there."""
    for node, frame in steps:
        if node.op == "AssignVariableOp" and len(node.input) > 1:
            target, source = (_resolve(one, frame) for one in node.input[:2])
            if target and source and target.frame.is_graph:
                yield target.tensor, source


def _value(attribute: Any) -> int | bytes:
    value: int | bytes = attribute.s if attribute.HasField("s") else attribute.i
    return value


@dataclass(frozen=True)
class _Source:
    """The output of a node that a tensor comes from; its name only means something in a graph."""

    node: Any
    index: int
    frame: _Frame

    @property
    def tensor(self) -> str:
        return f"{self.node.name}:{self.index}"


def _walk(graph: Graph, first: str, most_nodes: int) -> Iterator[tuple[Any, _Frame]]:
    """All nodes that run when one does, in each call of their function."""
    root = _Frame(graph.nodes, is_graph=True)
    waiting = [(graph.nodes[name], root) for name in sorted(graph.behind([first]))]
    left = most_nodes - len(waiting)
    while waiting:
        node, frame = waiting.pop()
        yield node, frame
        called = _callee(graph, node)
        if called is not None and left >= len(called.node_def):
            left -= len(called.node_def) + 1
            inner = _called_frame(called, node, frame)
            waiting.extend((one, inner) for one in called.node_def)


def _callee(graph: Graph, node: Any) -> Any:
    if node.op in _CALLS and "f" in node.attr:
        return graph.functions.get(node.attr["f"].func.name)
    return graph.functions.get(node.op)


def _called_frame(function: Any, call: Any, frame: _Frame) -> _Frame:
    nodes = {node.name: node for node in function.node_def}
    names = [argument.name for argument in function.signature.input_arg]
    lists = any(a.number_attr or a.type_list_attr for a in function.signature.input_arg)
    sources = [] if lists else _data(call)
    return _Frame(nodes, {n: (s, frame) for n, s in zip(names, sources, strict=False)})


def _data(node: Any) -> list[str]:
    return [source for source in node.input if not source.startswith("^")]


def _resolve(tensor: str, frame: _Frame) -> _Source | None:
    """Where a tensor comes from, through copies and out of functions into their callers."""
    for _ in range(_MOST_STEPS):
        name = node_name(tensor)
        if name in frame.arguments:
            tensor, frame = frame.arguments[name]
            continue
        node = frame.nodes.get(name)
        if node is None:
            return None
        if node.op not in _SAME_VALUE or not node.input:
            return _Source(node, output_index(tensor), frame)
        tensor = node.input[0]
    return None


def _saved(source: _Source | None) -> Saved | None:
    """What of the variables' files a tensor is; None when it is not simply read from there."""
    if source is None or source.node.op != "RestoreV2" or len(source.node.input) < 3:
        return None
    index, dtypes = source.index, source.node.attr["dtypes"].list.type
    key, part = (_text(_resolve(one, source.frame), index) for one in source.node.input[1:3])
    if key is None or part is None or index >= len(dtypes):
        return None
    return Saved(key, part, dtypes[index])


def _text(source: _Source | None, index: int) -> str | None:
    """One string of a constant vector; None for anything else."""
    if source is None or source.node.op != "Const":
        return None
    tensor = source.node.attr["value"].tensor
    sizes, texts = [dim.size for dim in tensor.tensor_shape.dim], tensor.string_val
    if len(sizes) != 1 or index >= sizes[0] or not texts:
        return None
    # Equal values at the end are written once.
    text: bytes = texts[min(index, len(texts) - 1)]
    return text.decode("utf-8", "replace")
