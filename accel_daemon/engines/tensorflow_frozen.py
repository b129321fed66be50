"""A loaded graph as one message without functions and variables, for engines that compile it.

It is made from the Session and not from the file: what a compiler gets is what was admitted and cut
down, with the values that the variables have here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from accel_daemon.engines import compiled_rules
from accel_daemon.engines.tensorflow_flat import Fed, NotFlatError, flatten
from accel_daemon.engines.tensorflow_graph import node_name, output_index
from accel_daemon.engines.tensorflow_state import reached_ops

MOST_BYTES = 1 << 30
"""Of a frozen graph: a message has at most twice as many, and it is held three times at the end."""
FED_NAME = "accel.fed/{}"
FETCHED_NAME = "accel.fetched/{}"

_HANDLE, _READ = "VarHandleOp", "ReadVariableOp"
_REFERENCES = frozenset({"Variable", "VariableV2"})


class NotFrozenError(Exception):
    """The graph cannot be frozen, or is not to be compiled; the text says why."""


def add_reads(graph: Any, reads: dict[str, Any]) -> None:
    """Add tensors that read each variable of a graph, by its node's name; ops are added for it."""
    with graph.as_default(), tf.name_scope("accel_read"):
        for op in graph.get_operations():
            if op.name in reads:
                continue
            if op.type == _HANDLE:
                dtype = op.get_attr("dtype")
                reads[op.name] = tf.raw_ops.ReadVariableOp(resource=op.outputs[0], dtype=dtype)
            elif op.type in _REFERENCES:
                reads[op.name] = op.outputs[0]


def freeze(
    session: Any, reads: Mapping[str, Any], feeds: Mapping[str, Fed], fetches: Iterable[str]
) -> Any:
    """The GraphDef that computes fetches from feeds.

    Its placeholders are called FED_NAME and what it answers FETCHED_NAME, each with its number.

    Args:
        session: of the graph.
        reads: what `add_reads` gave.
        feeds: every tensor that is fed, by name.
        fetches: names of tensors, none of them fed.

    Raises:
        NotFrozenError: see there.
    """
    fetches = list(fetches)
    graph_def = session.graph.as_graph_def()
    if op := compiled_rules.refused_op(sorted(set(reached_ops(graph_def, fetches)))):
        raise NotFrozenError(f"{op} is not compiled")
    try:
        flat = flatten(graph_def, feeds, fetches)
    except NotFlatError as error:
        raise NotFrozenError(f"its functions cannot be written out: {error}") from None
    frozen = _with_constants(flat, _values(session, reads, flat))
    if why := compiled_rules.why_not(frozen, fetches):
        raise NotFrozenError(why)
    for number, fetch in enumerate(fetches):
        node = frozen.node.add(name=FETCHED_NAME.format(number), op="Identity", input=[fetch])
        node.attr["T"].type = session.graph.get_tensor_by_name(fetch).dtype.as_datatype_enum
    return frozen


def _values(session: Any, reads: Mapping[str, Any], flat: Any) -> dict[str, Any]:
    """What the variables that are needed hold, by their nodes' names."""
    wanted = {n.name: reads[n.name] for n in flat.node if n.op == _HANDLE or n.op in _REFERENCES}
    size = sum(read.dtype.size * (read.shape.num_elements() or 0) for read in wanted.values())
    # Of few nodes the size is told by their shapes; adding it all up would take long.
    size += sum(node.ByteSize() for node in flat.node)
    if size > MOST_BYTES:
        raise NotFrozenError(f"it has more than {MOST_BYTES} bytes")
    values: dict[str, Any] = session.run(wanted) if wanted else {}
    return values


def _with_constants(flat: Any, values: Mapping[str, Any]) -> Any:
    nodes = {node.name: node for node in flat.node}
    result = graph_pb2.GraphDef(versions=flat.versions)
    for node in flat.node:
        if node.op in _REFERENCES:
            _add_constant(result, node.name, values[node.name])
        elif node.op == _READ:
            _add_constant(result, node.name, values[_handle(nodes, node.input[0])])
        elif node.op != _HANDLE:
            result.node.add().CopyFrom(node)
    return result


def _add_constant(graph_def: Any, name: str, value: Any) -> None:
    node = graph_def.node.add(name=name, op="Const")
    tensor = tf.make_tensor_proto(value)
    node.attr["dtype"].type = tensor.dtype
    node.attr["value"].tensor.CopyFrom(tensor)


def _handle(nodes: Mapping[str, Any], tensor: str) -> str:
    """The variable that a tensor is the handle of."""
    for _ in range(len(nodes)):
        node = nodes.get(node_name(tensor))
        if node is not None and node.op == _HANDLE:
            name: str = node.name
            return name
        if node is None or node.op not in ("Identity", "IdentityN"):
            break
        tensor = node.input[output_index(tensor)]
    raise NotFrozenError("which variable it reads cannot be told")
