"""Whether a graph may be handed to TensorFlow at all, decided from its messages alone.

A TensorFlow graph is a program: without this, it could read and write files, connect anywhere, run
Python, or end the process. The rule is a list of admitted ops, by name (`tensorflow_ops`), and for
a few of them a rule about their attributes. Everything else is refused, whether it is known or not.
What is decided here is the whole of what is imported afterwards: nodes of the graph and of all its
functions, whether or not anything seems to call them.

Pure: no TensorFlow is imported, no file is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from accel_daemon.engines.tensorflow_graph import Graph, named_functions
from accel_daemon.engines.tensorflow_ops import ADMITTED
from accel_protocol.errors import ModelError
from accel_protocol.limits import DEFAULT_LIMITS, Limits

REASON = "OP_REFUSED"
_MOST_LISTED = 10
_NAME_CHARACTERS = 100
_STRING, _RESOURCE, _VARIANT = 7, 20, 21  # DataType
_LOCAL_DESCRIPTORS = (b"", b"local://")


@dataclass(frozen=True)
class Finding:
    """One node that is refused: its op and name, the function it is in ("" for none), and why."""

    op: str
    node: str
    function: str
    why: str

    def __str__(self) -> str:
        place = f" in function {_shown(self.function)}" if self.function else ""
        return f"{_shown(self.op)} (node {_shown(self.node)}{place}): {self.why}"


@dataclass(frozen=True)
class Policy:
    """What may be imported.

    Attributes:
        limits: how large a graph may be.
        allowed: ops that the operator allows by name, each with a reason.
    """

    limits: Limits = DEFAULT_LIMITS
    allowed: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, node: Any, functions: Mapping[str, Any]) -> str | None:
        """Why a node is refused; None when it is admitted.

        Args:
            node: a NodeDef, of the graph or of a function's body.
            functions: the functions of the graph's library, by name.
        """
        absent = next((f for f in named_functions(node) if f and f not in functions), None)
        if absent is not None:
            return f"it calls {_shown(absent)}, which is no function of this model"
        if any(value.placeholder for value in node.attr.values()):
            return "it leaves attributes open"
        if node.op in functions or node.op in self.allowed:
            return None
        if node.op not in ADMITTED:
            return "this op is not admitted"
        rule = _RULES.get(node.op)
        return rule(node.attr) if rule is not None else None


def refused(findings: Iterable[Finding]) -> ModelError:
    """The error for what was found."""
    found = sorted(set(findings), key=lambda one: (one.op, one.function, one.node))
    ops = list(dict.fromkeys(_shown(one.op) for one in found))
    listed = "; ".join(map(str, found[:_MOST_LISTED]))
    more = f"; and {len(found) - _MOST_LISTED} more" if len(found) > _MOST_LISTED else ""
    allow = " ".join(f"--allow-op {op}=REASON" for op in ops[:_MOST_LISTED])
    return ModelError(
        f"The model is refused for {len(found)} of its nodes: {listed}{more}.",
        reason=REASON,
        remedy="Export the model without them, feed what they compute, or ask the daemon's "
        f"operator for `accel-daemon up {allow}`; see docs/admission.md.",
        fields={"ops": ",".join(ops[:_MOST_LISTED])},
    )


def _cleared(attributes: Mapping[str, Any]) -> str | None:
    if "init" in attributes and attributes["init"].b:
        return None
    return "its memory is not cleared (init=False)"


def _without_content(attributes: Mapping[str, Any]) -> str | None:
    """FakeParam stands for an output that nobody looks at, in memory that nobody cleared."""
    sizes = [size.size for size in attributes["shape"].shape.dim]
    if attributes["dtype"].type in (_STRING, _VARIANT) or 0 in sizes:
        return None
    return "its memory is not cleared"


def _plain_constant(attributes: Mapping[str, Any]) -> str | None:
    if attributes["value"].tensor.dtype in (_RESOURCE, _VARIANT):
        return "a constant cannot hold a handle or an object"
    return None


def _plain_parse(attributes: Mapping[str, Any]) -> str | None:
    if attributes["out_type"].type in (_RESOURCE, _VARIANT):
        return "handles and objects are not parsed"
    return None


def _local_descriptors(attributes: Mapping[str, Any]) -> str | None:
    source = attributes["descriptor_source"].s if "descriptor_source" in attributes else b""
    if source in _LOCAL_DESCRIPTORS:
        return None
    return "its descriptor_source is not local://"


_RULES: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "Const": _plain_constant,
    "HostConst": _plain_constant,
    "Empty": _cleared,
    "FakeParam": _without_content,
    "ParseTensor": _plain_parse,
    "DecodeProtoV2": _local_descriptors,
    "EncodeProto": _local_descriptors,
}


def check_names(graph_def: Any, is_op: Callable[[str], bool]) -> None:
    """See that every name of a node or a function stands for one thing.

    Args:
        graph_def: a GraphDef.
        is_op: whether an op of this name exists.

    Raises:
        ModelError: a name that two things have, or a function with an op's name.
    """
    nodes: set[str] = set()
    for node in graph_def.node:
        if node.name in nodes:
            raise ModelError(f"The graph has two nodes called {_shown(node.name)}.")
        nodes.add(node.name)
    functions: set[str] = set()
    for function in graph_def.library.function:
        name = function.signature.name
        if name in functions:
            raise ModelError(f"The graph has two functions called {_shown(name)}.")
        if name in ADMITTED or is_op(name):
            why = "a function of this model has the name of an op"
            raise refused([Finding(name, name, name, why)])
        functions.add(name)


def check_size(graph_def: Any, limits: Limits) -> None:
    """See that a graph is not too large, in itself and when every call is replaced by its callee.

    Raises:
        LimitError: graph_nodes, inlined_nodes, function_depth, attribute_bytes, tensor_elements.
        ModelError: functions call each other in a circle.
    """
    library = graph_def.library.function
    limits.check("graph_nodes", len(graph_def.node) + sum(len(f.node_def) for f in library))
    for node in _all_nodes(graph_def):
        _check_attributes(node, limits)
    graph = Graph(graph_def)
    depths: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for name in _callees_first(graph):
        called = _calls(graph, graph.functions[name].node_def)
        depths[name] = 1 + max((depths[one] for one in called), default=0)
        sizes[name] = len(graph.functions[name].node_def) + sum(sizes[one] for one in called)
        limits.check("function_depth", depths[name])
        limits.check("inlined_nodes", sizes[name])
    inlined = sum(sizes[name] for name in _calls(graph, graph_def.node))
    limits.check("inlined_nodes", len(graph_def.node) + inlined)


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def _calls(graph: Graph, nodes: Iterable[Any]) -> list[str]:
    return [name for node in nodes for name in graph.called_by(node)]


def _check_attributes(node: Any, limits: Limits) -> None:
    size = len(node.name) + sum(map(len, node.input))
    for name, value in node.attr.items():
        if value.HasField("tensor"):
            elements = math.prod(max(dim.size, 0) for dim in value.tensor.tensor_shape.dim)
            limits.check("tensor_elements", elements)
        else:
            size += len(name) + value.ByteSize()
    limits.check("attribute_bytes", size)


def _callees_first(graph: Graph) -> Iterator[str]:
    """All functions, each after those it calls; without recursion, however deep they are.

    Raises:
        ModelError: functions call each other in a circle.
    """
    done: set[str] = set()
    for first in graph.functions:
        path = [(first, iter(_calls(graph, graph.functions[first].node_def)))]
        open_ = {first}
        while path and first not in done:
            name, callees = path[-1]
            callee = next((one for one in callees if one not in done), None)
            if callee is None:
                path.pop()
                open_.discard(name)
                done.add(name)
                yield name
            elif callee in open_:
                raise ModelError(f"The function {_shown(callee)} calls itself.")
            else:
                open_.add(callee)
                path.append((callee, iter(_calls(graph, graph.functions[callee].node_def))))


def _shown(name: str) -> str:
    """A name out of a file, fit to be printed."""
    text = "".join(one if one.isprintable() else "?" for one in name[:_NAME_CHARACTERS])
    return text + ("…" if len(name) > _NAME_CHARACTERS else "")
