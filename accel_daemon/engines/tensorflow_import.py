"""From a file's graph to what TensorFlow gets of it: cut down, admitted, and only then imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from accel_daemon.engines import tensorflow_cut
from accel_daemon.engines.tensorflow_admission import (
    Finding,
    Policy,
    check_names,
    check_size,
    refused,
)
from accel_daemon.engines.tensorflow_graph import node_name
from accel_protocol.errors import ModelError

VERSION = f"tensorflow {tf.__version__}"
_MOST_OUTPUTS = 65_536  # of one node; TensorFlow makes room for as many as a file claims


def admitted_part(
    policy: Policy, graph_def: Any, feeds: Iterable[str], fetches: Iterable[str]
) -> Any:
    """What of a graph is needed for its fetches, all of it admitted.

    Args:
        policy: what may be imported.
        graph_def: a GraphDef.
        feeds: names of the tensors that may be fed.
        fetches: names of the tensors that are fetched, of ops alone with a leading "^".

    Raises:
        ModelError: OP_REFUSED, or a graph that contradicts itself.
        LimitError: it is too large.
    """
    functions = {f.signature.name: f for f in graph_def.library.function}

    def why_not(node: Any) -> str | None:
        if node.op not in functions and not _is_op(node.op):
            return f"{VERSION} has no op {node.op[:100]}"
        return policy.refusal(node, functions)

    try:
        part = tensorflow_cut.cut(graph_def, feeds, fetches, lambda node: why_not(node) is None)
    except tensorflow_cut.UnusableOpError as error:
        raise refused(
            Finding(
                one.node.op, one.node.name, one.function, why_not(one.node) or "it cannot be fed"
            )
            for one in error.found
        ) from None
    check_names(part, _is_op)
    check_size(part, policy.limits)
    _check_outputs(part)
    return part


def import_part(
    session: Any, part: Any, producer_ops: Any = None, sources: Mapping[str, Any] | None = None
) -> None:
    """Import a GraphDef into a Session's graph, names as they are.

    Args:
        session: the Session.
        part: what `admitted_part` gave.
        producer_ops: the OpList of the TensorFlow that wrote the model, None when not known; with
            it, attributes that are new there and have their default there are left out.
        sources: tensors of the graph that are inputs of the part, by their names in it.
    """
    with session.graph.as_default():
        tf.graph_util.import_graph_def(
            part, name="", producer_op_list=producer_ops, input_map=sources or {}
        )


def check_named(part: Any, tensors: Iterable[str]) -> None:
    """See that feeds and fetches are a part's own, in whatever graph it is.

    Raises:
        ModelError: one is not.
    """
    nodes = {node.name for node in part.node}
    for name in tensors:
        if node_name(name) not in nodes:
            raise ModelError(f"The graph has no tensor {name!r}.")


def _is_op(name: str) -> bool:
    return op_def_registry.get(name) is not None


def _check_outputs(part: Any) -> None:
    for nodes in (part.node, *(function.node_def for function in part.library.function)):
        for node in nodes:
            outputs = tensorflow_cut.output_dtypes(node)
            if sum(1 for _ in islice(outputs, _MOST_OUTPUTS + 1)) > _MOST_OUTPUTS:
                raise ModelError(f"A node of the graph claims more than {_MOST_OUTPUTS} outputs.")
