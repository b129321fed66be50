"""Dropping variables that a loaded SavedModel holds and its fetches do not need.

TensorFlow restores every variable of a SavedModel: an optimizer's, those of other signatures, and
the copies that some exporters write. They would only take memory here, because a loaded graph
answers nothing but its own fetches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

_VARIABLE = "VarHandleOp"


def drop(session: Any, graph_def: Any, fetches: Iterable[str]) -> None:
    """Free the variables of a session's graph that no fetch reaches.

    Args:
        session: with the model restored.
        graph_def: the GraphDef that was loaded.
        fetches: names of tensors.
    """
    unused = list(unused_variables(graph_def, fetches))
    if not unused:
        return
    with session.graph.as_default():
        drops = [
            tf.raw_ops.DestroyResourceOp(
                resource=session.graph.get_tensor_by_name(f"{name}:0"), ignore_lookup_error=True
            )
            for name in unused
        ]
    session.run(drops)


def unused_variables(graph_def: Any, fetches: Iterable[str]) -> Iterator[str]:
    """Names of the nodes whose variables no fetch reaches, under whatever node's name."""
    nodes = {node.name: node for node in graph_def.node}
    reached = set[str]()
    waiting = [_node_name(fetch) for fetch in fetches]
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in reached:
            reached.add(name)
            waiting.extend(map(_node_name, nodes[name].input))
    inner = (node for f in graph_def.library.function for node in f.node_def)
    used = [*(nodes[name] for name in reached), *inner]
    shared = {_shared_name(node) for node in used if node.op == _VARIABLE}
    for name, node in nodes.items():
        if node.op == _VARIABLE and name not in reached and _shared_name(node) not in shared:
            yield name


def _shared_name(node: Any) -> bytes:
    name: bytes = node.attr["shared_name"].s
    return name or node.name.encode()


def _node_name(tensor: str) -> str:
    return tensor.lstrip("^").split(":", 1)[0]
