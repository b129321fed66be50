"""The part of a graph that is needed to compute its fetches, told from its definition.

What no fetch or feed needs is left out, functions included. A fed tensor cuts the graph where that
is necessary: when an op behind it cannot be used here, the tensor becomes a placeholder and what is
behind it is left out too. Elsewhere a tensor that may be fed can still be computed instead.

Nothing is in the result that `usable` has not seen, however it may be called in there.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework import op_def_registry

from accel_daemon.engines.tensorflow_graph import Graph, node_name

_COLOCATION = "_class"
_COLOCATED_WITH = b"loc:@"
_MOST_OUTPUTS = 4096  # of a node that is cut; a count that a file merely claims
# Attributes with a leading underscore steer TensorFlow's inside. Those kept say what shapes are,
# and how functions become part of the graph that calls them; all others are dropped.
_KEPT_PRIVATE = frozenset(
    {_COLOCATION, "_output_shapes", "_input_shapes", "_user_specified_name", "_noinline",
     "_lower_using_switch_merge", "_num_original_outputs", "_stateful_parallelism",
     "_construction_context", "_disable_call_shape_inference"}
)  # fmt: skip
_CALL_SETTINGS = frozenset({"config", "config_proto", "executor_type"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})

Usable = Callable[[Any], bool]


@dataclass(frozen=True)
class Unusable:
    """A node that cannot be used, and the function it is in ("" for the graph itself)."""

    node: Any
    function: str


class UnusableOpError(Exception):
    """The fetches need ops that cannot be used here."""

    def __init__(self, found: Iterable[Unusable]) -> None:
        self.found = list(found)
        self.ops = sorted({one.node.op for one in self.found})
        super().__init__(f"the fetches need {', '.join(self.ops)}")


def cut(graph_def: Any, feeds: Iterable[str], fetches: Iterable[str], usable: Usable) -> Any:
    """A new GraphDef with what the fetches need, free of devices.

    Args:
        graph_def: a GraphDef.
        feeds: names of the tensors that may be fed, for instance "image_tensor:0".
        fetches: names of the tensors that are fetched; of ops alone with a leading "^".
        usable: whether a node may be in the result. It is asked about every node that is
            needed, and about all nodes of the functions that these call.

    Raises:
        UnusableOpError: a node that cannot be left out is not usable.
    """
    graph = Graph(graph_def)
    feeds, fetches = list(feeds), list(fetches)
    verdicts = _Verdicts(graph, usable)
    stand_ins: dict[str, list[Any]] = {}
    for name in _cuts(graph, feeds, fetches, verdicts):
        indexes = {_index(feed) for feed in feeds if node_name(feed) == name}
        stand_ins[name] = _stand_in(graph, name, max(indexes))
    needed = graph.behind([*fetches, *feeds], stop_at=stand_ins)
    unusable = list(verdicts.unusable(needed - stand_ins.keys()))
    if unusable:
        raise UnusableOpError(unusable)
    functions = _functions(graph, needed - stand_ins.keys(), verdicts)
    return _assemble(graph, needed, functions, stand_ins)


def _functions(graph: Graph, names: set[str], verdicts: _Verdicts) -> set[str]:
    """The functions that nodes need, and those that may stand in for them where they are usable."""
    functions = graph.functions_of(names)
    more = graph.stand_ins_of(functions) - verdicts.bad_functions
    return graph.closure(functions | more)


class _Verdicts:
    """Which nodes cannot be used, by themselves or for what they call."""

    def __init__(self, graph: Graph, usable: Usable) -> None:
        self._graph = graph
        self._usable = usable
        self._in_functions = {
            name: [node for node in function.node_def if not usable(node)]
            for name, function in graph.functions.items()
        }
        self.bad_functions = self._with_callers({n for n, bad in self._in_functions.items() if bad})

    def _with_callers(self, bad: set[str]) -> set[str]:
        callers: dict[str, list[str]] = {}
        for name in self._graph.functions if bad else ():
            for callee in self._graph.callees(name):
                callers.setdefault(callee, []).append(name)
        seen, waiting = set[str](), list(bad)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(callers.get(name, ()))
        return seen

    def is_bad(self, name: str) -> bool:
        """Whether a node of the graph cannot be used."""
        node = self._graph.nodes[name]
        called = self._graph.called_by(node) if self.bad_functions else ()
        return not self._usable(node) or any(f in self.bad_functions for f in called)

    def unusable(self, names: Iterable[str]) -> Iterator[Unusable]:
        """The nodes that cannot be used among these, and in the functions they call."""
        names = sorted(names)
        nodes = (self._graph.nodes[name] for name in names)
        yield from (Unusable(node, "") for node in nodes if not self._usable(node))
        for function in sorted(self._graph.functions_of(names)):
            yield from (Unusable(node, function) for node in self._in_functions[function])


def output_dtypes(node: Any) -> Iterator[int]:
    """The dtypes of an op's outputs, as many as the node claims; none for calls by name."""
    definition = op_def_registry.get(node.op)
    if definition is not None:
        yield from _types(definition, definition.output_arg, node)


def _op_definition(graph: Graph, node: Any) -> Any:
    """The OpDef of a node's op; None for an unknown one."""
    if node.op in graph.functions:
        return graph.functions[node.op].signature
    return op_def_registry.get(node.op)


def _cuts(graph: Graph, feeds: list[str], fetches: list[str], verdicts: _Verdicts) -> list[str]:
    """The fed nodes behind which something is not usable, and which can be cut."""
    bad = [name for name in graph.behind([*fetches, *feeds]) if verdicts.is_bad(name)]
    if not bad:
        return []
    candidates = {node_name(feed) for feed in feeds} & graph.ahead_of(bad)
    # Only what is computed with all these cuts made has a say in what else is needed of them.
    consumers = graph.behind([*fetches, *feeds], stop_at=candidates) - candidates
    fed = set(map(_canonical, feeds))
    wanted = set(map(_canonical, fetches))
    for name in consumers:
        wanted.update(map(_canonical, graph.nodes[name].input))
    not_fed = {node_name(tensor) for tensor in wanted if tensor not in fed}
    return sorted(candidates - not_fed)


def _stand_in(graph: Graph, name: str, last_index: int) -> list[Any]:
    """Nodes whose first, called `name`, has outputs 0 to `last_index` and needs nothing."""
    dtypes = list(islice(_dtypes(graph, graph.nodes[name]), last_index + 1))
    if len(dtypes) != last_index + 1:
        raise UnusableOpError([Unusable(graph.nodes[name], "")])
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


def _dtypes(graph: Graph, node: Any) -> Iterator[int]:
    """The dtypes of a node's outputs, as its op says, else as those say that take them."""
    definition = _op_definition(graph, node)
    if definition is not None:
        yield from islice(_types(definition, definition.output_arg, node), _MOST_OUTPUTS)
        return
    known = dict(_taken(graph, node.name))
    for index in range(len(known)):
        if index not in known:
            return
        yield known[index]


def _taken(graph: Graph, name: str) -> Iterator[tuple[int, int]]:
    """The outputs of a node that others take: index, and the dtype they take it for."""
    for consumer in graph.definition.node:
        sources = [source for source in consumer.input if not source.startswith("^")]
        if name not in map(node_name, sources):
            continue
        definition = _op_definition(graph, consumer)
        if definition is not None:
            types = _types(definition, definition.input_arg, consumer)
            for source, dtype in zip(sources, types, strict=False):
                if node_name(source) == name:
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


def _assemble(
    graph: Graph, needed: set[str], functions: set[str], stand_ins: Mapping[str, list[Any]]
) -> Any:
    result = graph_pb2.GraphDef(versions=graph.definition.versions)
    kept = needed - stand_ins.keys()
    result.node.extend(node for node in graph.definition.node if node.name in kept)
    gradients = [g for g in graph.definition.library.gradient if g.function_name in functions]
    library = graph.definition.library.function
    result.library.function.extend(f for f in library if f.signature.name in functions)
    result.library.gradient.extend(g for g in gradients if g.gradient_func in functions)
    for node in result.node:
        _clean(node)
        forget_colocation(node, needed)
    for function in result.library.function:
        _drop_private(function.attr)
        for argument in function.arg_attr.values():
            _drop_private(argument.attr)
        for node in function.node_def:
            _clean(node)
    for nodes in stand_ins.values():
        result.node.extend(nodes)
    return result


def _clean(node: Any) -> None:
    """Where and how a node runs is for the accelerator to say."""
    node.device = ""
    node.ClearField("experimental_debug_info")
    _drop_private(node.attr)
    for name in _CALL_SETTINGS & set(node.attr):
        node.attr[name].s = b""
    if node.op in _CALLS:
        node.attr["config_proto"].s = _CALL_CONFIG


def _drop_private(attributes: Any) -> None:
    for name in [n for n in attributes if n.startswith("_") and n not in _KEPT_PRIVATE]:
        del attributes[name]


def _call_config() -> bytes:
    """What TensorFlow writes into calls itself, with the optimizations that the Session has."""
    config = config_pb2.ConfigProto()
    config.graph_options.optimizer_options.opt_level = config_pb2.OptimizerOptions.L0
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    result: bytes = config.SerializeToString()
    return result


_CALL_CONFIG = _call_config()


def forget_colocation(node: Any, needed: Container[str]) -> None:
    """A node must not ask to be where another is that was left out."""
    if _COLOCATION in node.attr:
        kept = [
            group
            for group in node.attr[_COLOCATION].list.s
            if group.removeprefix(_COLOCATED_WITH).decode() in needed
        ]
        del node.attr[_COLOCATION].list.s[:]
        node.attr[_COLOCATION].list.s.extend(kept)


def _canonical(tensor: str) -> str:
    """A tensor's name with its output's number; a control input's as it is."""
    return tensor if tensor.startswith("^") or ":" in tensor else f"{tensor}:0"


def _index(tensor: str) -> int:
    return int(tensor.partition(":")[2] or 0)
