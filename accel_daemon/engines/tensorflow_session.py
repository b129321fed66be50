"""One Session, and the parts of a model that were imported into it, each node once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from accel_daemon.engines.sharing import NotSharedError
from accel_daemon.engines.tensorflow_cut import forget_colocation
from accel_daemon.engines.tensorflow_graph import node_name

_COLOCATION = "_class"


class SharedSession:
    """A Session whose graph grows with each part of one model that is imported.

    Every node and function of a part is in the graph under its own name. What is there already is
    not imported again, so that parts have their variables and tables in common. A part can reach
    nothing that is not its own: it brings all nodes that it needs, and those that are there are
    compared with them.

    Args:
        session: with an empty graph.

    Attributes:
        session: the Session.
        done: names of what has its state: variables, tables, and the op that initializes.
        reads: see `TensorFlowGraph.keep_reads`.
        changes: whether a signature of the model changes state; None before that is known.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.done: set[str] = set()
        self.reads: dict[str, Any] = {}
        self.changes: bool | None = None
        self._nodes: dict[str, bytes] = {}
        self._functions: dict[str, bytes] = {}
        self._after: dict[str, Any] = {}

    def add(self, part: Any, import_: Callable[[Any, Mapping[str, Any]], None]) -> None:
        """Import what of an admitted GraphDef is not there yet.

        Args:
            part: what `admitted_part` gave.
            import_: imports a GraphDef whose inputs may be tensors that are there, by name.

        Raises:
            NotSharedError: something else is there under one of its names.
        """
        nodes = _fresh(self._nodes, {node.name: _digest(node) for node in part.node})
        functions = _fresh(
            self._functions, {f.signature.name: _digest(f) for f in part.library.function}
        )
        fresh = graph_pb2.GraphDef(versions=part.versions)
        fresh.node.extend(node for node in part.node if node.name in nodes)
        for node in fresh.node:
            forget_colocation(node, nodes.keys())
        library = part.library
        fresh.library.function.extend(f for f in library.function if f.signature.name in functions)
        fresh.library.gradient.extend(g for g in library.gradient if g.function_name in functions)
        if fresh.node or fresh.library.function:
            import_(fresh, self._sources(fresh.node))
        self._nodes |= nodes
        self._functions |= functions

    def _sources(self, nodes: Iterable[Any]) -> dict[str, Any]:
        """What is there of the nodes' inputs."""
        wanted = {source for node in nodes for source in node.input}
        return {one: self._source(one) for one in wanted if node_name(one) in self._nodes}

    def _source(self, name: str) -> Any:
        graph = self.session.graph
        if not name.startswith("^"):
            return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
        op = graph.get_operation_by_name(node_name(name))
        return op.outputs[0] if op.outputs else self._tensor_after(op)

    def _tensor_after(self, op: Any) -> Any:
        """A tensor that is there once an op without any has run: inputs are tensors."""
        if op.name not in self._after:
            with op.graph.as_default(), tf.control_dependencies([op]):
                self._after[op.name] = tf.identity(0, name="accel_after")
        return self._after[op.name]

    def close(self) -> None:
        """Close the Session; what runs ends with an error."""
        self.session.close()


def _digest(message: Any) -> bytes:
    """Of a node or function, wherever it runs."""
    if hasattr(message, "attr") and _COLOCATION in message.attr:
        message = type(message).FromString(message.SerializeToString())
        del message.attr[_COLOCATION]
    return hashlib.sha256(message.SerializeToString(deterministic=True)).digest()


def _fresh(known: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> dict[str, bytes]:
    """What is wanted and not known.

    Raises:
        NotSharedError: it is known as something else.
    """
    for name, digest in wanted.items():
        if known.get(name, digest) != digest:
            raise NotSharedError(f"another graph of the model has a different {name}")
    return {name: digest for name, digest in wanted.items() if name not in known}
