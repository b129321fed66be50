"""What a run costs: its operations and the memory of what is computed in between.

The graph is written out flat and built once more with the shapes that are really fed, so that
TensorFlow itself tells all others. Nothing is run. What cannot be told that way (how often a loop
goes round, how many boxes a detector finds) is counted once, or with size 1, and the cost is
incomplete where a shape stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import tensorflow as tf

from accel_daemon.engines import tensorflow_flat
from accel_daemon.engines.engine import Cost
from accel_daemon.engines.operation_counts import Op, Shape, flops, is_counted
from accel_daemon.engines.tensorflow_flat import Fed, NotFlatError

_HALF = frozenset({tf.float16, tf.bfloat16})
_ALIASES = frozenset(
    {
        "Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient",
        "PreventGradient", "Snapshot", "Enter", "RefEnter", "Exit", "Switch", "Merge",
        "NextIteration", "ReadVariableOp", "PlaceholderWithDefault", "EnsureShape", "Bitcast",
    }
)  # fmt: skip
_WEIGHTS = frozenset({"Const", "VarHandleOp", "VariableV2", "Variable"})


def cost(graph_def: Any, feeds: Mapping[str, Fed], fetches: Iterable[str]) -> Cost | None:
    """The cost of one run; None where the graph cannot be built with these feeds.

    Args:
        graph_def: from `tensorflow_flat.without_large_constants`.
        feeds: by tensor name, for instance "image_tensor:0".
        fetches: names of the tensors that are wanted.
    """
    try:
        flat = tensorflow_flat.flatten(graph_def, feeds, fetches)
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(flat, name="")
    except (NotFlatError, ValueError, TypeError, KeyError, tf.errors.OpError):
        return None
    ops = graph.get_operations()
    half, full = 0, 0
    for op in ops:
        if is_counted(op.type) and _is_arithmetic(op):
            count = flops(_described(op))
            half, full = (half + count, full) if _is_half(op) else (half, full + count)
    incomplete = any(not _is_known(op) for op in ops if is_counted(op.type) and _is_arithmetic(op))
    return Cost(half, full, _peak_bytes(ops, fetches), incomplete)


def _is_arithmetic(op: Any) -> bool:
    """Whether it computes: what whole numbers are computed for is mostly shapes and indexes."""
    if not op.outputs:
        return False
    dtype = op.outputs[0].dtype.base_dtype
    return bool(dtype.is_floating or dtype.is_complex or op.type in ("MatMul", "Conv2D"))


def _is_half(op: Any) -> bool:
    return op.outputs[0].dtype.base_dtype in _HALF


def _is_known(op: Any) -> bool:
    tensors = [*op.inputs, op.outputs[0]]
    return all(tensor.shape.is_fully_defined() for tensor in tensors)


def _described(op: Any) -> Op:
    return Op(
        op.type,
        [_shape(tensor) for tensor in op.inputs],
        [_shape(tensor) for tensor in op.outputs],
        op.get_attr,
    )


def _shape(tensor: Any) -> Shape:
    shape = tensor.shape
    return () if shape.rank is None else tuple(size or 1 for size in shape.as_list())


@dataclass
class _Value:
    """Something that is computed: its bytes, and the place of the last op that uses it."""

    size: int
    last: int


def _peak_bytes(ops: list[Any], fetches: Iterable[str]) -> int:
    """The most bytes of computed values at one time, when ops run in the order of the list."""
    values = _values(ops, fetches)
    ending: dict[int, int] = {}
    for value in values:
        ending[value[1].last] = ending.get(value[1].last, 0) + value[1].size
    starting: dict[int, int] = {}
    for place, value_ in values:
        starting[place] = starting.get(place, 0) + value_.size
    now, peak = 0, 0
    for place in range(len(ops)):
        now += starting.get(place, 0)
        peak = max(peak, now)
        now -= ending.get(place, 0)
    return peak


def _values(ops: list[Any], fetches: Iterable[str]) -> list[tuple[int, _Value]]:
    """What is computed, with the place of the op that does; weights are not among it."""
    by_tensor: dict[str, _Value] = {}
    found: list[tuple[int, _Value]] = []
    nothing = _Value(0, -1)
    for place, op in enumerate(ops):
        taken = [by_tensor.get(tensor.name, nothing) for tensor in op.inputs]
        for value in taken:
            value.last = max(value.last, place)
        for index, tensor in enumerate(op.outputs):
            if op.type in _ALIASES and taken:
                by_tensor[tensor.name] = taken[min(index, len(taken) - 1)]
            elif not _is_weight(op):
                by_tensor[tensor.name] = _Value(_bytes(tensor), place)
                found.append((place, by_tensor[tensor.name]))
    for fetch in fetches:
        if tensorflow_flat.canonical(fetch) in by_tensor:
            by_tensor[tensorflow_flat.canonical(fetch)].last = len(ops)
    return found


def _is_weight(op: Any) -> bool:
    if op.type in _WEIGHTS:
        return True
    return op.type == "Placeholder" and tensorflow_flat.LARGE_CONSTANT in op.node_def.attr


def _bytes(tensor: Any) -> int:
    dtype = tensor.dtype.base_dtype
    is_plain = dtype not in (tf.resource, tf.variant)
    return prod(_shape(tensor)) * int(dtype.size) if is_plain else 0
