"""How many bytes of weights a model's files bring, told before TensorFlow reads them.

A model far too large must not be read into memory to find that out. So the files are mapped and
only their framing is followed: a large constant is passed over, and of a variable only its dtype
and shape are looked at, which stand in the graph. What cannot be read counts as nothing here:
loading it says what is wrong with it.

What counts is what the fetches need: constants, those in functions included, and variables. Others
that a SavedModel holds, as an optimizer's, are never restored.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import tensor_shape_pb2

from accel_daemon.engines.engine import Weights
from accel_protocol import manifest
from accel_protocol.manifest import Manifest

_SAVED_MODEL_FILE = "saved_model.pb"
_VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_CONSTANT = "Const"
_NOTHING = Weights(0, 0)


@dataclass
class _Node:
    """Of a node: its op, what it takes, the functions it names, and the bytes it stands for."""

    op: str = ""
    inputs: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    size: int = 0


_Nodes = Mapping[str, _Node]


def weigh(folder: Path, manifest_: Manifest) -> Weights:
    """The weights of the bundle whose files lie in `folder`."""
    frozen = manifest_.format == manifest.FROZEN_GRAPH
    path = folder / (manifest.FROZEN_GRAPH_FILE if frozen else _SAVED_MODEL_FILE)
    try:
        data = _mapped(path)
        return _frozen_graph(data, manifest_) if frozen else _saved_model(data, manifest_)
    except (OSError, ValueError, IndexError, TypeError, DecodeError):
        return _NOTHING


def _mapped(path: Path) -> memoryview:
    """The file's bytes, read when they are looked at; unmapped with the last view of them."""
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _frozen_graph(data: memoryview, manifest_: Manifest) -> Weights:
    return _sum(*_graph(data), manifest_.selection.fetches.values())


def _saved_model(data: memoryview, manifest_: Manifest) -> Weights:
    selection = manifest_.selection
    for number, meta_graph in _fields(data):
        if number != 2 or set(_tags(meta_graph)) != set(selection.tags):
            continue
        fetches: Iterable[str] = selection.fetches.values()
        if selection.signature is not None:
            fetches = list(_outputs(meta_graph, selection.signature))
        return _sum(*_graph(_first(meta_graph, 2)), fetches)
    return _NOTHING


def _tags(meta_graph: memoryview) -> Iterator[str]:
    return (_text(tag) for number, tag in _fields(_first(meta_graph, 1)) if number == 4)


def _outputs(meta_graph: memoryview, key: str) -> Iterator[str]:
    """The names of the tensors that a signature answers with."""
    for number, entry in _fields(meta_graph):
        if number == 5 and _text(_first(entry, 1)) == key:
            for part, output in _fields(_first(entry, 2)):
                if part == 2:
                    yield _text(_first(_first(output, 2), 1))


def _graph(data: memoryview) -> tuple[_Nodes, Mapping[str, list[_Node]]]:
    """The nodes of a GraphDef by name, and those of its functions by the function's name."""
    nodes: dict[str, _Node] = {}
    functions: dict[str, list[_Node]] = {}
    for number, value in _fields(data):
        if number == 1:
            name, node = _node(value)
            nodes[name] = node
        elif number == 2:
            for part, function in _fields(value):
                if part == 1:
                    name = _text(_first(_first(function, 1), 1))
                    functions[name] = [_node(n)[1] for at, n in _fields(function) if at == 3]
    return nodes, functions


def _node(data: memoryview) -> tuple[str, _Node]:
    name, node, attributes = "", _Node(), dict[str, memoryview]()
    for number, value in _fields(data):
        if number == 1:
            name = _text(value)
        elif number == 2:
            node.op = _text(value)
        elif number == 3:
            node.inputs.append(_text(value))
        elif number == 5:
            attributes[_text(_first(value, 1))] = _first(value, 2)
    node.functions.extend(_function_names(attributes.values()))
    if node.op == _CONSTANT and "value" in attributes:
        node.size = _tensor_bytes(_first(attributes["value"], 8))
    elif node.op in _VARIABLES and "shape" in attributes and "dtype" in attributes:
        kinds = [kind for number, kind in _varints(attributes["dtype"]) if number == 6]
        node.size = _bytes(kinds[-1] if kinds else 0, _first(attributes["shape"], 7))
    return name, node


def _function_names(attributes: Iterable[memoryview]) -> Iterator[str]:
    for attribute in attributes:
        for number, value in _fields(attribute):
            if number == 10:
                yield _text(_first(value, 1))
            elif number == 1:
                yield from (_text(_first(part, 1)) for at, part in _fields(value) if at == 9)


def _tensor_bytes(tensor: memoryview) -> int:
    """What a TensorProto takes in memory, however little of it is written out."""
    kinds = [kind for number, kind in _varints(tensor) if number == 1]
    kind = kinds[-1] if kinds else 0
    if kind == tf.string.as_datatype_enum:
        return len(tensor)
    return _bytes(kind, _first(tensor, 2))


def _bytes(kind: int, shape: memoryview) -> int:
    """Bytes of a tensor of this dtype and shape; 0 where they are not known."""
    parsed = tensor_shape_pb2.TensorShapeProto.FromString(bytes(shape))
    sizes = [dim.size for dim in parsed.dim]
    if parsed.unknown_rank or any(size < 0 for size in sizes) or kind == 0:
        return 0
    dtype = tf.dtypes.as_dtype(kind).base_dtype
    is_plain = dtype not in (tf.string, tf.resource, tf.variant)
    return prod(sizes) * dtype.size if is_plain else 0


def _sum(nodes: _Nodes, functions: Mapping[str, list[_Node]], fetches: Iterable[str]) -> Weights:
    """What is needed for the fetches."""
    found: dict[str, _Node] = {}
    waiting = [_node_name(fetch) for fetch in fetches]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in found:
            found[name] = nodes[name]
            waiting.extend(map(_node_name, nodes[name].inputs))
    reached = [*found.values(), *_called(functions, found.values())]
    variables = sum(node.size for node in reached if node.op in _VARIABLES)
    return Weights(variables, sum(node.size for node in reached if node.op == _CONSTANT))


def _called(functions: Mapping[str, list[_Node]], nodes: Iterable[_Node]) -> Iterator[_Node]:
    """The nodes of all functions that nodes call."""
    waiting = [name for node in nodes for name in (node.op, *node.functions)]
    seen = set[str]()
    while waiting:
        name = waiting.pop()
        if name in functions and name not in seen:
            seen.add(name)
            yield from functions[name]
            waiting.extend(n for node in functions[name] for n in (node.op, *node.functions))


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":", 1)[0]


def _first(data: memoryview, wanted: int) -> memoryview:
    """The last part with this number, as a message's reader takes it; empty where there is none."""
    found = data[:0]
    for number, value in _fields(data):
        if number == wanted:
            found = value
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of a message's length-delimited parts; the others are passed over."""
    return ((number, value) for number, value in _parts(data) if isinstance(value, memoryview))


def _varints(data: memoryview) -> Iterator[tuple[int, int]]:
    return ((number, value) for number, value in _parts(data) if isinstance(value, int))


def _parts(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Number and value of each part of a message in protobuf's wire format.

    Raises:
        ValueError, IndexError: it is none.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        else:
            size = {1: 8, 5: 4}[kind] if kind in (1, 5) else end + 1
        if size > end - at:
            raise ValueError("no message")
        if kind == 2:
            yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("no varint")


def _text(data: memoryview) -> str:
    return bytes(data).decode()
