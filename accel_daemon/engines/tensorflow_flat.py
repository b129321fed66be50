"""A graph with its functions written out where they are called, for looking at and not for running.

TensorFlow tells the shape of every tensor of a flat graph once the shapes of the feeds are known;
into functions it does not look. A loop's body is written out once, and of a branch all sides are.
Large constants are left out of it, so that it is small whatever the model weighs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2
from tensorflow.python.framework import op_def_registry

LARGE_CONSTANT = "_AccelLargeConstant"
"""Attribute of the placeholders that stand for large constants."""

_SMALL_ELEMENTS = 1024  # what shapes are computed from has fewer
_MOST_NODES = 200_000
_DEEPEST = 64
_LOOPS = {"While": ("body", "cond"), "StatelessWhile": ("body", "cond")}
_BRANCHES = {"If": ("then_branch", "else_branch"), "StatelessIf": ("then_branch", "else_branch")}
_CASES = frozenset({"Case", "StatelessCase"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall", "BatchFunction"})


class NotFlatError(Exception):
    """The graph cannot be written out: too large, recursive, or of ops that are not known."""


@dataclass(frozen=True)
class Fed:
    """A tensor that is fed: its dtype's number, and its shape, None for an unknown rank."""

    dtype: int
    shape: tuple[int, ...] | None


def without_large_constants(graph_def: Any, fetches: Iterable[str]) -> Any:
    """A small copy of what a GraphDef's fetches reach, with placeholders for large constants."""
    nodes = {node.name: node for node in graph_def.node}
    small = graph_pb2.GraphDef(versions=graph_def.versions)
    small.node.extend(_small(nodes[name]) for name in _behind(nodes, fetches))
    for function in graph_def.library.function:
        copy = function_pb2.FunctionDef(signature=function.signature)
        copy.ret.update(function.ret)
        copy.node_def.extend(_small(node) for node in function.node_def)
        small.library.function.append(copy)
    return small


def flatten(graph_def: Any, feeds: Mapping[str, Fed], fetches: Iterable[str]) -> Any:
    """A GraphDef without functions in which placeholders stand for the feeds.

    Args:
        graph_def: from `without_large_constants`.
        feeds: by tensor name, for instance "image_tensor:0".
        fetches: names of the tensors that are wanted.

    Raises:
        NotFlatError: see there.
    """
    flat = _Flat({one.signature.name: one for one in graph_def.library.function})
    renamed = {}
    for number, (tensor, fed) in enumerate(feeds.items()):
        renamed[canonical(tensor)] = flat.add_placeholder(f"accel.fed/{number}", fed)
    for node in graph_def.node:
        sources = [
            renamed.get(canonical(source), source)
            for source in node.input
            if not source.startswith("^")
        ]
        flat.add(node, node.name, sources, 0)
    nodes = {node.name: node for node in flat.nodes}
    result = graph_pb2.GraphDef(versions=graph_def.versions)
    wanted = [renamed.get(canonical(fetch), fetch) for fetch in fetches]
    result.node.extend(nodes[name] for name in _behind(nodes, wanted))
    return result


def canonical(tensor: str) -> str:
    """A tensor's name with its output's number."""
    return tensor if ":" in tensor else f"{tensor}:0"


class _Flat:
    """The nodes so far."""

    def __init__(self, functions: Mapping[str, Any]) -> None:
        self._functions = functions
        self.nodes: list[Any] = []

    def add_placeholder(self, name: str, fed: Fed) -> str:
        node = node_def_pb2.NodeDef(name=name, op="Placeholder")
        node.attr["dtype"].type = fed.dtype
        if fed.shape is None:
            node.attr["shape"].shape.unknown_rank = True
        else:
            node.attr["shape"].shape.SetInParent()
            for size in fed.shape:
                node.attr["shape"].shape.dim.add(size=size)
        self._append(node)
        return f"{name}:0"

    def add(self, node: Any, name: str, sources: list[str], depth: int) -> None:
        """Add a node under a name; where it calls functions, what is in them instead."""
        called = self._called(node)
        if called is None:
            self._copy(node, name, sources)
            return
        functions, skipped = called
        outputs = [
            self._body(function, f"{name}/{number}", sources[skipped:], depth + 1)
            for number, function in enumerate(functions)
        ]
        kinds = [int(kind) for kind in self._output_types(node)]
        if kinds and outputs:
            identity = node_def_pb2.NodeDef(name=name, op="IdentityN", input=outputs[0])
            identity.attr["T"].list.type.extend(kinds)
            # Depends on the other sides of a branch too, which would be left out otherwise.
            others = dict.fromkeys(_node_name(tensor) for body in outputs[1:] for tensor in body)
            identity.input.extend(f"^{other}" for other in others)
            self._append(identity)

    def _called(self, node: Any) -> tuple[Sequence[Any], int] | None:
        """The functions whose content stands for a node, and how many inputs they do not get."""
        if node.op in self._functions:
            return [self._functions[node.op]], 0
        if node.op in _CALLS:
            return [self._function(node.attr["f"].func.name)], 0
        if node.op in _LOOPS:
            return [self._function(node.attr[part].func.name) for part in _LOOPS[node.op]], 0
        if node.op in _BRANCHES:
            return [self._function(node.attr[part].func.name) for part in _BRANCHES[node.op]], 1
        if node.op in _CASES:
            return [self._function(one.name) for one in node.attr["branches"].list.func], 1
        return None

    def _function(self, name: str) -> Any:
        if name not in self._functions:
            raise NotFlatError(f"no function {name}")
        return self._functions[name]

    def _body(self, function: Any, prefix: str, sources: list[str], depth: int) -> list[str]:
        """Add a function's nodes; answers the tensors that it returns."""
        if depth > _DEEPEST:
            raise NotFlatError("too deep")
        arguments = [one.name for one in function.signature.input_arg]
        if len(arguments) != len(sources):
            raise NotFlatError("another number of arguments")
        scope = _Scope(
            prefix,
            dict(zip(arguments, sources, strict=True)),
            {node.name: _offsets(node, self._definition(node)) for node in function.node_def},
        )
        for node in function.node_def:
            inner = [scope.resolve(one) for one in node.input if not one.startswith("^")]
            self.add(node, f"{prefix}/{node.name}", inner, depth)
        return [scope.resolve(function.ret[one.name]) for one in function.signature.output_arg]

    def _definition(self, node: Any) -> Any:
        if node.op in self._functions:
            return self._functions[node.op].signature
        definition = op_def_registry.get(node.op)
        if definition is None:
            raise NotFlatError(f"no op {node.op}")
        return definition

    def _output_types(self, node: Any) -> Iterable[int]:
        if node.op in self._functions:
            return [one.type for one in self._functions[node.op].signature.output_arg]
        kinds: Iterable[int] = node.attr["T" if node.op in _LOOPS else "Tout"].list.type
        return kinds

    def _copy(self, node: Any, name: str, sources: list[str]) -> None:
        if any(value.func.name or value.list.func for value in node.attr.values()):
            raise NotFlatError(f"{node.op} calls functions")
        copy = node_def_pb2.NodeDef(name=name, op=node.op, input=sources)
        for key, value in node.attr.items():
            if not key.startswith("_") or key == LARGE_CONSTANT:
                copy.attr[key].CopyFrom(value)
        self._append(copy)

    def _append(self, node: Any) -> None:
        if len(self.nodes) >= _MOST_NODES:
            raise NotFlatError("too large")
        self.nodes.append(node)


@dataclass(frozen=True)
class _Scope:
    """What names inside one function's call mean outside of it.

    Attributes:
        prefix: of the names of its nodes.
        arguments: the tensors that it was called with.
        offsets: by node and name of an output, the number of that output's first tensor.
    """

    prefix: str
    arguments: Mapping[str, str]
    offsets: Mapping[str, Mapping[str, int]]

    def resolve(self, tensor: str) -> str:
        if tensor in self.arguments:
            return self.arguments[tensor]
        name, _, rest = tensor.partition(":")
        output, _, index = rest.partition(":")
        try:
            return f"{self.prefix}/{name}:{self.offsets[name][output] + int(index)}"
        except (KeyError, ValueError):
            raise NotFlatError(f"no tensor {tensor}") from None


def _offsets(node: Any, definition: Any) -> Mapping[str, int]:
    offsets, at = {}, 0
    for one in definition.output_arg:
        offsets[one.name] = at
        if one.type_list_attr:
            at += len(node.attr[one.type_list_attr].list.type)
        else:
            at += node.attr[one.number_attr].i if one.number_attr else 1
    return offsets


def _small(node: Any) -> Any:
    if node.op != "Const":
        return node
    tensor = node.attr["value"].tensor
    # By shape, because adding up the bytes of a large one takes seconds.
    if prod(dim.size for dim in tensor.tensor_shape.dim) <= _SMALL_ELEMENTS:
        return node
    stand_in = node_def_pb2.NodeDef(name=node.name, op="Placeholder")
    stand_in.attr["dtype"].type = tensor.dtype
    stand_in.attr["shape"].shape.CopyFrom(tensor.tensor_shape)
    stand_in.attr[LARGE_CONSTANT].b = True
    return stand_in


def _behind(nodes: Mapping[str, Any], tensors: Iterable[str]) -> list[str]:
    """Names of the nodes that tensors need."""
    seen = dict[str, None]()
    waiting = [_node_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name not in seen and name in nodes:
            seen[name] = None
            waiting.extend(map(_node_name, nodes[name].input))
    return list(seen)


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":", 1)[0]
