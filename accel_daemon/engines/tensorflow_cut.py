"""The part of a graph that is needed to compute its fetches, told from its definition.

What no fetch or feed needs is left out, functions included. A fed tensor cuts the graph where that
is necessary: when an op behind it cannot be used here, the tensor becomes a placeholder and what is
behind it is left out too. Elsewhere a tensor that may be fed can still be computed instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, repeat
from typing import Any

from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import op_def_registry

_COLOCATION = "_class"
_COLOCATED_WITH = b"loc:@"
_MOST_OUTPUTS = 4096  # of a node that is cut; a count that a file merely claims


class UnusableOpError(Exception):
    """The fetches need ops that cannot be used here."""

    def __init__(self, ops: Iterable[str]) -> None:
        self.ops = sorted(ops)
        super().__init__(f"the fetches need {', '.join(self.ops)}")


def is_registered(op: str) -> bool:
    """Whether this TensorFlow knows an op."""
    return op_def_registry.get(op) is not None


def cut(
    graph_def: Any,
    feeds: Iterable[str],
    fetches: Iterable[str],
    usable: Callable[[str], bool] = is_registered,
) -> Any:
    """A new GraphDef with what the fetches need, free of devices.

    Args:
        graph_def: a GraphDef.
        feeds: names of the tensors that may be fed, for instance "image_tensor:0".
        fetches: names of the tensors that are fetched.
        usable: whether an op may be in the result.

    Raises:
        UnusableOpError: an op that cannot be left out is not usable.
    """
    graph = _Graph(graph_def)
    feeds, fetches = list(feeds), list(fetches)
    stand_ins: dict[str, list[Any]] = {}
    for name in _cuts(graph, feeds, fetches, usable):
        indexes = {_index(feed) for feed in feeds if _node_name(feed) == name}
        stand_ins[name] = _stand_in(graph, name, max(indexes))
    needed = graph.behind([*fetches, *feeds], stop_at=stand_ins)
    unusable = {op for op in graph.ops(needed - stand_ins.keys()) if not usable(op)}
    if unusable:
        raise UnusableOpError(unusable)
    return _assemble(graph, needed, stand_ins)


class _Graph:
    """A GraphDef with its nodes and functions by name."""

    def __init__(self, graph_def: Any) -> None:
        self.definition = graph_def
        self.nodes = {node.name: node for node in graph_def.node}
        self.functions = {f.signature.name: f for f in graph_def.library.function}

    def behind(self, tensors: Iterable[str], stop_at: Iterable[str] = ()) -> set[str]:
        """Names of the nodes that tensors need, without those behind the nodes of `stop_at`."""
        stop, seen = set(stop_at), set[str]()
        waiting = [_node_name(tensor) for tensor in tensors]
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            if name not in stop:
                waiting.extend(_node_name(source) for source in self.nodes[name].input)
        return seen

    def functions_of(self, names: Iterable[str]) -> set[str]:
        """Names of the functions that nodes call, and those that these call, and so on."""
        seen: set[str] = set()
        waiting = [f for name in names for f in _called(self.nodes[name], self.functions)]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                body = self.functions[name].node_def
                waiting.extend(f for node in body for f in _called(node, self.functions))
        return seen

    def ops(self, names: Iterable[str]) -> Iterator[str]:
        """The ops of nodes and of the functions they call."""
        names = list(names)
        nodes = [self.nodes[name] for name in names]
        for function in self.functions_of(names):
            nodes.extend(self.functions[function].node_def)
        return (node.op for node in nodes if node.op not in self.functions)

    def op_definition(self, node: Any) -> Any:
        """The OpDef of a node's op; None for an unknown one."""
        if node.op in self.functions:
            return self.functions[node.op].signature
        return op_def_registry.get(node.op)


def _cuts(
    graph: _Graph, feeds: list[str], fetches: list[str], usable: Callable[[str], bool]
) -> list[str]:
    """The fed nodes behind which something is not usable, and which can be cut."""
    fed = set(map(_canonical, feeds))
    candidates = {
        name
        for name in dict.fromkeys(map(_node_name, feeds))
        if name in graph.nodes and not all(usable(op) for op in graph.ops(graph.behind([name])))
    }
    # Only what is computed with all these cuts made has a say in what else is needed of them.
    consumers = graph.behind([*fetches, *feeds], stop_at=candidates) - candidates
    wanted = set(map(_canonical, fetches))
    for name in consumers:
        wanted.update(map(_canonical, graph.nodes[name].input))
    return [
        name
        for name in sorted(candidates)
        if all(tensor in fed for tensor in wanted if _node_name(tensor) == name)
    ]


def _stand_in(graph: _Graph, name: str, last_index: int) -> list[Any]:
    """Nodes whose first, called `name`, has outputs 0 to `last_index` and needs nothing."""
    dtypes = list(islice(_dtypes(graph, graph.nodes[name]), last_index + 1))
    if len(dtypes) != last_index + 1:
        raise UnusableOpError([graph.nodes[name].op])
    if len(dtypes) == 1:
        return [_placeholder(name, dtypes[0])]
    sources = [f"{name}/fed_{index}" for index in range(len(dtypes))]
    identity = node_def_pb2.NodeDef(name=name, op="IdentityN", input=sources)
    identity.attr["T"].list.type.extend(dtypes)
    return [identity, *map(_placeholder, sources, dtypes)]


def _placeholder(name: str, dtype: int) -> Any:
    node = node_def_pb2.NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype
    node.attr["shape"].shape.unknown_rank = True
    return node


def _dtypes(graph: _Graph, node: Any) -> Iterator[int]:
    """The dtypes of a node's outputs, as its op says, else as those say that take them."""
    definition = graph.op_definition(node)
    if definition is not None:
        yield from islice(_types(definition, definition.output_arg, node), _MOST_OUTPUTS)
        return
    known = dict(_taken(graph, node.name))
    for index in range(len(known)):
        if index not in known:
            return
        yield known[index]


def _taken(graph: _Graph, name: str) -> Iterator[tuple[int, int]]:
    """The outputs of a node that others take: index, and the dtype they take it for."""
    for consumer in graph.definition.node:
        sources = [source for source in consumer.input if not source.startswith("^")]
        if name not in map(_node_name, sources):
            continue
        definition = graph.op_definition(consumer)
        if definition is not None:
            types = _types(definition, definition.input_arg, consumer)
            for source, dtype in zip(sources, types, strict=False):
                if _node_name(source) == name:
                    yield _index(source), dtype


def _types(definition: Any, arguments: Any, node: Any) -> Iterator[int]:
    """The dtypes of all tensors of a node's inputs or outputs; as many as the node claims."""
    defaults = {attribute.name: attribute.default_value for attribute in definition.attr}

    def value(name: str) -> Any:
        return node.attr[name] if name in node.attr else defaults[name]

    for argument in arguments:
        if argument.type_list_attr:
            yield from value(argument.type_list_attr).list.type
            continue
        one = value(argument.type_attr).type if argument.type_attr else argument.type
        yield from repeat(one, value(argument.number_attr).i if argument.number_attr else 1)


def _assemble(graph: _Graph, needed: set[str], stand_ins: Mapping[str, list[Any]]) -> Any:
    result = graph_pb2.GraphDef(versions=graph.definition.versions)
    kept = needed - stand_ins.keys()
    result.node.extend(node for node in graph.definition.node if node.name in kept)
    functions = graph.functions_of(kept)
    gradients = [g for g in graph.definition.library.gradient if g.function_name in functions]
    library = graph.definition.library.function
    result.library.function.extend(f for f in library if f.signature.name in functions)
    result.library.gradient.extend(g for g in gradients if g.gradient_func in functions)
    for nodes in stand_ins.values():
        result.node.extend(nodes)
    for node in result.node:
        node.device = ""  # where it runs is for the accelerator to say
        _forget_colocation(node, needed)
    return result


def _forget_colocation(node: Any, needed: set[str]) -> None:
    """A node must not ask to be where another is that was left out."""
    if _COLOCATION in node.attr:
        kept = [
            group
            for group in node.attr[_COLOCATION].list.s
            if group.removeprefix(_COLOCATED_WITH).decode() in needed
        ]
        del node.attr[_COLOCATION].list.s[:]
        node.attr[_COLOCATION].list.s.extend(kept)


def _called(node: Any, functions: Mapping[str, Any]) -> Iterator[str]:
    """The functions that one node calls."""
    if node.op in functions:
        yield node.op
    for attribute in node.attr.values():
        for function in (attribute.func, *attribute.list.func):
            if function.name in functions:
                yield function.name


def _canonical(tensor: str) -> str:
    """A tensor's name with its output's number; a control input's as it is."""
    return tensor if tensor.startswith("^") or ":" in tensor else f"{tensor}:0"


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":", 1)[0]


def _index(tensor: str) -> int:
    return int(tensor.partition(":")[2] or 0)
