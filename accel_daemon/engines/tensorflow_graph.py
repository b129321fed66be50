"""A GraphDef's nodes and functions by name, and what needs what.

Pure: it looks at messages and imports no TensorFlow, so that it can be trusted with any file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# Functions that do the same for different devices: TensorFlow may choose another of them.
_SAME_API = "api_implements"


class Graph:
    """A GraphDef, indexed.

    Attributes:
        definition: the GraphDef.
        nodes: its nodes by name; of several with one name the last.
        functions: the functions of its library by name.
    """

    def __init__(self, graph_def: Any) -> None:
        self.definition = graph_def
        self.nodes: Mapping[str, Any] = {node.name: node for node in graph_def.node}
        library = graph_def.library.function
        self.functions: Mapping[str, Any] = {f.signature.name: f for f in library}
        self._siblings = _siblings(self.functions)

    def behind(self, tensors: Iterable[str], stop_at: Iterable[str] = ()) -> set[str]:
        """Names of the nodes that tensors need, without those behind the nodes of `stop_at`."""
        stop, seen = set(stop_at), set[str]()
        waiting = [node_name(tensor) for tensor in tensors]
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            if name not in stop:
                waiting.extend(node_name(source) for source in self.nodes[name].input)
        return seen

    def ahead_of(self, names: Iterable[str]) -> set[str]:
        """Names of the nodes that need any of these nodes, and these."""
        consumers: dict[str, list[str]] = {}
        for node in self.definition.node:
            for source in node.input:
                consumers.setdefault(node_name(source), []).append(node.name)
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(consumers.get(name, ()))
        return seen

    def functions_of(self, names: Iterable[str]) -> set[str]:
        """Names of the functions that nodes call, and those that these call, and so on."""
        return self.closure(f for name in names for f in self.called_by(self.nodes[name]))

    def closure(self, functions: Iterable[str]) -> set[str]:
        """These functions, those that they call, and so on."""
        seen, waiting = set[str](), list(functions)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(self.callees(name))
        return seen

    def callees(self, function: str) -> Iterator[str]:
        """The functions that a function's body calls."""
        for node in self.functions[function].node_def:
            yield from self.called_by(node)

    def stand_ins_of(self, functions: Iterable[str]) -> set[str]:
        """The functions that TensorFlow may take instead of these, on another device."""
        return {sibling for name in functions for sibling in self._siblings.get(name, ())}

    def called_by(self, node: Any) -> Iterator[str]:
        """The functions of the library that one node calls or names."""
        if node.op in self.functions:
            yield node.op
        yield from (name for name in named_functions(node) if name in self.functions)


def named_functions(node: Any) -> Iterator[str]:
    """All functions that a node's attributes name, also deep inside."""
    yield from _named(node.attr)


def _named(attributes: Mapping[str, Any]) -> Iterator[str]:
    for value in attributes.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func.name
            yield from _named(value.func.attr)
        elif kind == "list":
            for function in value.list.func:
                yield function.name
                yield from _named(function.attr)


def _siblings(functions: Mapping[str, Any]) -> dict[str, list[str]]:
    groups: dict[bytes, list[str]] = {}
    for name, function in functions.items():
        if _SAME_API in function.attr:
            groups.setdefault(function.attr[_SAME_API].s, []).append(name)
    return {name: group for group in groups.values() for name in group}


def node_name(tensor: str) -> str:
    """The node of "name", "name:1" or "^name"; inside functions also of "name:output:0"."""
    return tensor.lstrip("^").split(":", 1)[0]


def output_index(tensor: str) -> int:
    """Which of its node's outputs a tensor is; the last number of its name."""
    name, _, last = tensor.rpartition(":")
    return int(last) if name and last.isdecimal() and len(last) < 10 else 0
