"""Whether calls of a TensorFlow graph can be answered together, told from its definition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from accel_daemon.engines import tensorflow_flat
from accel_daemon.engines.batch_rules import Shape, Step, refused_op, why_not_rows
from accel_daemon.engines.engine import TensorSpec
from accel_daemon.engines.tensorflow_flat import Fed, NotFlatError
from accel_daemon.engines.tensorflow_state import reached_ops


def why_not_batched(
    graph_def: Any, feeds: Iterable[TensorSpec], fetches: Iterable[TensorSpec]
) -> str | None:
    """Why calls cannot be answered together; None where they can.

    Args:
        graph_def: from `tensorflow_flat.without_large_constants`.
        feeds: all of them; each call has to feed all, with equally many rows.
        fetches: what every call gets.
    """
    feeds, fetches = list(feeds), list(fetches)
    if not feeds or not all(_has_rows(spec) for spec in (*feeds, *fetches)):
        return "the first size of a feed or fetch is fixed"
    names = {spec.tensor: Fed(spec.dtype, spec.shape) for spec in feeds}
    wanted = [spec.tensor for spec in fetches]
    if len(names) < len(feeds) or names.keys() & set(wanted):
        return "one tensor is fed twice, or fed and fetched"
    if op := refused_op(sorted(set(reached_ops(graph_def, wanted)))):
        return f"{op} is not known to keep rows apart"
    try:
        graph = _built(graph_def, names, wanted)
    except (NotFlatError, ValueError, TypeError, KeyError, tf.errors.OpError):
        return "its functions cannot be written out"
    fed = [f"accel.fed/{number}:0" for number in range(len(names))]
    return why_not_rows(map(_step, graph.get_operations()), fed, wanted)


def _has_rows(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape is not None and spec.shape[0] == -1


def _built(graph_def: Any, feeds: Mapping[str, Fed], fetches: list[str]) -> Any:
    flat = tensorflow_flat.flatten(graph_def, feeds, fetches)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(flat, name="")
    return graph


def _step(op: Any) -> Step:
    tensors = [*op.inputs, *op.outputs]
    return Step(
        op.type,
        [tensor.name for tensor in op.inputs],
        [tensor.name for tensor in op.outputs],
        {tensor.name: _shape(tensor) for tensor in tensors},
        lambda name: _attr(op, name),
        _values(op),
    )


def _shape(tensor: Any) -> Shape:
    if tensor.shape.rank is None:
        return None
    return tuple(-1 if size is None else size for size in tensor.shape.as_list())


def _attr(op: Any, name: str) -> Any:
    value = op.get_attr(name)
    return value.as_datatype_enum if isinstance(value, tf.DType) else value


def _values(op: Any) -> tuple[int, ...] | None:
    if op.type != "Const" or op.outputs[0].dtype not in (tf.int32, tf.int64):
        return None
    return tuple(int(one) for one in np.ravel(tf.make_ndarray(op.get_attr("value"))))
