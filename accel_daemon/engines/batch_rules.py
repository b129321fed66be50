"""Whether calls of a graph can be answered together, as rows of one run. Pure.

That is so where every tensor that depends on the feeds has one row for each row of the feeds, in
its first axis, and computes each row from that row alone and from what is the same for all. It is
told op by op, from the shapes that are known without running anything; an op that is not in the
tables below, or is used in a way that they do not describe, leaves the graph as it is.

The tables hold what `compiled_rules` allows and for the same reason: another order of additions
must stay rounding. Beside that they hold looking rows up in a table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Shape = tuple[int, ...] | None
"""-1 stands for an unknown size, None for an unknown rank."""
_FLOATS = frozenset({1, 2, 14, 19})  # DataType


@dataclass(frozen=True)
class Step:
    """One op of a flat graph.

    Attributes:
        type: of the op.
        inputs, outputs: names of tensors.
        shapes: of these.
        attr: an attribute by its name; element types as their numbers.
        values: what a small constant of whole numbers holds, None for any other op.
    """

    type: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    shapes: Mapping[str, Shape]
    attr: Callable[[str], Any]
    values: tuple[int, ...] | None = None


class _Kind(Enum):
    ROWS = "one row for each row of the feeds"
    SHARED = "the same for all rows"
    SIZES = "sizes of rows"


class _Count(Enum):
    ROWS = "how many rows there are"
    UNKNOWN = "not known before the run"


_Sizes = tuple["int | _Count", ...]


class _NotRowsError(Exception):
    """Rows depend on each other, or it cannot be told; the text says why."""


def why_not_rows(steps: Iterable[Step], feeds: Iterable[str], fetches: Iterable[str]) -> str | None:
    """Why calls of a graph cannot be answered together; None where they can.

    Args:
        steps: its ops, each after those that it needs.
        feeds: names of tensors that are fed with rows.
        fetches: names of the tensors that are wanted.
    """
    rows = _Rows(feeds)
    try:
        for step in steps:
            rows.add(step)
    except _NotRowsError as reason:
        return str(reason)
    if any(rows.kinds.get(fetch) is not _Kind.ROWS for fetch in fetches):
        return "it answers with a tensor that has not one row for each row of its feeds"
    return None


class _Rows:
    """What the tensors so far hold.

    Attributes:
        kinds: by tensor.
        sizes: of whole numbers, their values, by tensor.
    """

    def __init__(self, feeds: Iterable[str]) -> None:
        self.kinds: dict[str, _Kind] = dict.fromkeys(feeds, _Kind.ROWS)
        self.sizes: dict[str, _Sizes] = {}

    def add(self, step: Step) -> None:
        """Add an op; those before it are there.

        Raises:
            _NotRowsError: see there.
        """
        if all(output in self.kinds for output in step.outputs):
            return  # it is fed
        if step.type == "IdentityN":
            for source, output in zip(step.inputs, step.outputs, strict=True):
                self._copy(source, output)
            return
        kind = self._kind(step)
        for output in step.outputs[: 1 if step.type in _FIRST_ONLY else None]:
            self.kinds[output] = kind

    def _kind(self, step: Step) -> _Kind:
        kinds = {self.kinds.get(source) for source in step.inputs}
        if step.type in _CONSTANTS and not step.inputs:
            if step.values is not None:
                self.sizes[step.outputs[0]] = step.values
            return _Kind.SHARED
        if step.type == "Shape":
            return self._shape(step)
        if kinds == {_Kind.SHARED} and step.type in _KNOWN:
            with contextlib.suppress(_NotRowsError):
                self._sizes(step)
            return _Kind.SHARED
        if _Kind.SIZES in kinds and _Kind.ROWS not in kinds:
            return self._sizes(step)
        if _Kind.ROWS in kinds and None not in kinds and step.type in _RULES:
            if _RULES[step.type](self, step):
                return _Kind.ROWS
            raise _NotRowsError(f"{step.type} may mix rows")
        raise _NotRowsError(f"{step.type} is not known to keep rows apart")

    def _copy(self, source: str, output: str) -> None:
        if source not in self.kinds:
            raise _NotRowsError("it needs a tensor of which nothing is known")
        self.kinds[output] = self.kinds[source]
        if source in self.sizes:
            self.sizes[output] = self.sizes[source]

    def _shape(self, step: Step) -> _Kind:
        shape = step.shapes[step.inputs[0]]
        if shape is None:
            raise _NotRowsError("it asks for a shape that is not known")
        sizes = tuple(_Count.UNKNOWN if size < 0 else size for size in shape)
        if self.kinds.get(step.inputs[0]) is _Kind.ROWS:
            sizes = (_Count.ROWS, *sizes[1:])
        self.sizes[step.outputs[0]] = sizes
        return _Kind.SIZES

    def _sizes(self, step: Step) -> _Kind:
        """Ops that pick sizes out and put them together."""
        known = [self.sizes.get(source) for source in step.inputs]
        if step.type == "Fill" and self.starts_with_rows(step.inputs[0]):
            return _Kind.ROWS
        if None in known:
            raise _NotRowsError(f"{step.type} computes with how many rows there are")
        values = _picked(step, [one for one in known if one is not None])
        self.sizes[step.outputs[0]] = values
        return _Kind.SIZES

    def is_rows(self, *tensors: str) -> bool:
        """Whether all of these have one row for each row of the feeds."""
        return all(self.kinds.get(one) is _Kind.ROWS for one in tensors)

    def is_shared(self, *tensors: str) -> bool:
        """Whether all of these are the same for all rows."""
        return all(self.kinds.get(one) is _Kind.SHARED for one in tensors)

    def constants(self, tensor: str) -> tuple[int, ...] | None:
        """The whole numbers that a tensor holds whatever is fed; None where that is not known."""
        values = self.sizes.get(tensor)
        if values is None or not all(isinstance(one, int) for one in values):
            return None
        return tuple(one for one in values if isinstance(one, int))

    def starts_with_rows(self, tensor: str) -> bool:
        """Whether it is a shape of as many rows as are fed, with rows of known sizes."""
        first, *rest = self.sizes.get(tensor) or (_Count.UNKNOWN,)
        return first is _Count.ROWS and all(isinstance(one, int) for one in rest)


def _picked(step: Step, known: list[_Sizes]) -> _Sizes:
    if step.type in ("Identity", "Cast"):
        return known[0]
    if step.type == "Pack" and step.attr("axis") == 0 and all(len(one) == 1 for one in known):
        return tuple(one[0] for one in known)
    if step.type == "ConcatV2" and known[-1] == (0,):
        return tuple(value for one in known[:-1] for value in one)
    if step.type == "StridedSlice":
        values, *limits = known
        numbers = [limit[0] for limit in limits if len(limit) == 1]
        places = [number for number in numbers if isinstance(number, int)]
        if len(places) == 3 and not step.attr("new_axis_mask") | step.attr("ellipsis_mask"):
            return _sliced(step, values, *places)
    raise _NotRowsError(f"{step.type} computes with how many rows there are")


def _sliced(step: Step, values: _Sizes, begin: int, end: int, stride: int) -> _Sizes:
    if step.attr("shrink_axis_mask") & 1:
        return values[begin : begin + 1 or None]
    first = None if step.attr("begin_mask") & 1 else begin
    return values[first : None if step.attr("end_mask") & 1 else end : stride]


def _rank(step: Step, tensor: str) -> int:
    shape = step.shapes[tensor]
    if not shape:
        raise _NotRowsError(f"{step.type} has a rank that is not known, or a scalar for all rows")
    return len(shape)


def _each(rows: _Rows, step: Step) -> bool:
    """Element by element of one tensor."""
    return rows.is_rows(step.inputs[0])


def _broadcast(rows: _Rows, step: Step) -> bool:
    """Element by element of several tensors: what is shared must not have rows."""
    ranks = {_rank(step, one) for one in step.inputs if rows.is_rows(one)}
    if len(ranks) != 1:
        return False
    (rank,) = ranks
    for one in step.inputs:
        shape = step.shapes[one]
        if not rows.is_rows(one) and not (
            rows.is_shared(one)
            and shape is not None
            and (len(shape) < rank or (len(shape) == rank and shape[0] == 1))
        ):
            return False
    return True


def _cast(rows: _Rows, step: Step) -> bool:
    """Not from floats to whole numbers, where rounding would become a jump."""
    jumps = step.attr("SrcT") in _FLOATS and step.attr("DstT") not in _FLOATS
    return rows.is_rows(step.inputs[0]) and not jumps


def _with_shared(rows: _Rows, step: Step) -> bool:
    """Rows, and parameters that are the same for all; of rank 2 at least."""
    source, *parameters = step.inputs
    return rows.is_rows(source) and rows.is_shared(*parameters) and _rank(step, source) >= 2


def _plain(rows: _Rows, step: Step) -> bool:
    """In rows and not across them: the last axis of more than one."""
    return rows.is_rows(step.inputs[0]) and _rank(step, step.inputs[0]) >= 2


def _normalization(rows: _Rows, step: Step) -> bool:
    return _with_shared(rows, step) and not step.attr("is_training")


def _matmul(rows: _Rows, step: Step) -> bool:
    return _with_shared(rows, step) and not step.attr("transpose_a")


def _batch_matmul(rows: _Rows, step: Step) -> bool:
    """Rank 2 is a plain product; above that the first axis is one of many products."""
    left, right = step.inputs
    if _rank(step, left) == 2:
        return rows.is_rows(left) and rows.is_shared(right) and not step.attr("adj_x")
    return _rank(step, right) >= 2 and _broadcast(rows, step)


def _pool(rows: _Rows, step: Step) -> bool:
    return _plain(rows, step) and step.attr("ksize")[0] == step.attr("strides")[0] == 1


def _transposed_convolution(rows: _Rows, step: Step) -> bool:
    sizes, kernel, source = step.inputs
    return rows.is_rows(source) and rows.is_shared(kernel) and rows.starts_with_rows(sizes)


def _axes(rows: _Rows, step: Step, tensor: str, rank: int) -> bool:
    """Whether axes are known, and not the first."""
    axes = rows.constants(tensor)
    return axes is not None and all(axis % rank != 0 for axis in axes)


def _along(rows: _Rows, step: Step) -> bool:
    """Along axes that the second input says."""
    source, axes = step.inputs
    return rows.is_rows(source) and _axes(rows, step, axes, _rank(step, source))


def _expand(rows: _Rows, step: Step) -> bool:
    source, axis = step.inputs
    return rows.is_rows(source) and _axes(rows, step, axis, _rank(step, source) + 1)


def _squeeze(rows: _Rows, step: Step) -> bool:
    """None named would be all of size 1: the first one too, where there is one row."""
    axes, rank = step.attr("squeeze_dims"), _rank(step, step.inputs[0])
    return rows.is_rows(step.inputs[0]) and bool(axes) and all(axis % rank for axis in axes)


def _transpose(rows: _Rows, step: Step) -> bool:
    order = rows.constants(step.inputs[1])
    return rows.is_rows(step.inputs[0]) and order is not None and order[:1] == (0,)


def _pad(rows: _Rows, step: Step) -> bool:
    source, paddings, *value = step.inputs
    constants = rows.constants(paddings)
    return (
        rows.is_rows(source)
        and rows.is_shared(*value)
        and constants is not None
        and constants[:2] == (0, 0)
    )


def _concat(rows: _Rows, step: Step) -> bool:
    *parts, axis = step.inputs
    ranks = {_rank(step, part) for part in parts}
    return rows.is_rows(*parts) and len(ranks) == 1 and _axes(rows, step, axis, ranks.pop())


def _pack(rows: _Rows, step: Step) -> bool:
    return rows.is_rows(*step.inputs) and step.attr("axis") % (_rank(step, step.inputs[0]) + 1) != 0


def _split(rows: _Rows, step: Step) -> bool:
    axis, source = step.inputs
    return rows.is_rows(source) and _axes(rows, step, axis, _rank(step, source))


def _split_sizes(rows: _Rows, step: Step) -> bool:
    source, sizes, axis = step.inputs
    return (
        rows.is_rows(source)
        and rows.is_shared(sizes)
        and _axes(rows, step, axis, _rank(step, source))
    )


def _unpack(rows: _Rows, step: Step) -> bool:
    rank = _rank(step, step.inputs[0])
    return rows.is_rows(step.inputs[0]) and step.attr("axis") % rank != 0


def _strided_slice(rows: _Rows, step: Step) -> bool:
    """All rows, or an ellipsis that covers them."""
    source, begin, end, strides = step.inputs
    steps = rows.constants(strides)
    if not rows.is_rows(source) or not rows.is_shared(begin, end) or not steps:
        return False
    if step.attr("new_axis_mask"):
        return False
    if step.attr("ellipsis_mask"):
        return bool(step.attr("ellipsis_mask") == 1 and len(steps) <= _rank(step, source))
    is_whole = step.attr("begin_mask") & step.attr("end_mask") & 1
    return bool(is_whole and not step.attr("shrink_axis_mask") & 1 and steps[0] == 1)


def _slice(rows: _Rows, step: Step) -> bool:
    source, begin, size = step.inputs
    first, sizes = rows.constants(begin), rows.constants(size)
    return bool(rows.is_rows(source) and first and sizes and first[0] == 0 and sizes[0] == -1)


def _tile(rows: _Rows, step: Step) -> bool:
    multiples = rows.constants(step.inputs[1])
    return rows.is_rows(step.inputs[0]) and multiples is not None and multiples[:1] == (1,)


def _reshape(rows: _Rows, step: Step) -> bool:
    """To as many rows: the first size is how many there are, or follows from those of a row."""
    source, target = step.inputs
    sizes, shape = rows.sizes.get(target), step.shapes[source]
    if not rows.is_rows(source) or not sizes or not shape:
        return False
    if sizes[0] is _Count.ROWS:
        return all(isinstance(one, int) for one in sizes[1:])
    before, after = _row_elements(shape[1:]), _row_elements(sizes[1:])
    return sizes[0] == -1 and before is not None and before == after


def _row_elements(sizes: Sequence[int | _Count]) -> int | None:
    count = 1
    for size in sizes:
        if not isinstance(size, int) or size < 1:
            return None
        count *= size
    return count


def _lookup(rows: _Rows, step: Step) -> bool:
    """Rows of numbers pick from a table along its first axis."""
    table, picked, *axis = step.inputs
    is_first = not axis or rows.constants(axis[0]) == (0,)
    is_plain = step.attr("batch_dims") == 0
    return rows.is_shared(table) and rows.is_rows(picked) and is_first and is_plain


_Rule = Callable[[_Rows, Step], bool]
_GROUPS: Mapping[_Rule, str] = {
    _each: """Abs Elu Erf Exp Identity LeakyRelu Log Neg PreventGradient Relu Relu6 Rsqrt Selu
        Sigmoid Snapshot Softplus Softsign Sqrt Square StopGradient Tanh""",
    _broadcast: "Add AddN AddV2 Maximum Minimum Mul RealDiv SquaredDifference Sub",
    _cast: "Cast",
    _with_shared: """BiasAdd Conv2D Conv3D DepthwiseConv2dNative ResizeBilinear
        ResizeNearestNeighbor""",
    _plain: "DepthToSpace LogSoftmax LRN Softmax SpaceToDepth",
    _normalization: "FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3",
    _matmul: "MatMul",
    _batch_matmul: "BatchMatMul BatchMatMulV2",
    _pool: "AvgPool AvgPool3D MaxPool MaxPool3D",
    _transposed_convolution: "Conv2DBackpropInput",
    _along: "ArgMax Max Mean Min Sum",
    _expand: "ExpandDims",
    _squeeze: "Squeeze",
    _transpose: "Transpose",
    _pad: "MirrorPad Pad PadV2",
    _concat: "ConcatV2",
    _pack: "Pack",
    _split: "Split",
    _split_sizes: "SplitV",
    _unpack: "Unpack",
    _strided_slice: "StridedSlice",
    _slice: "Slice",
    _tile: "Tile",
    _reshape: "Reshape",
    _lookup: "GatherV2 ResourceGather",
}
_RULES = {op: rule for rule, ops in _GROUPS.items() for op in ops.split()}
# The other outputs are of no use outside of training.
_FIRST_ONLY = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
# What stands for large constants in a graph that is only looked at is a placeholder, and not fed.
_CONSTANTS = frozenset({"Const", "Placeholder", "VarHandleOp", "Variable", "VariableV2"})
_KNOWN = _RULES.keys() | {"Fill", "IdentityN", "Prod", "Range", "ReadVariableOp"}
_CALLS = frozenset({"NoOp", "PartitionedCall", "StatefulPartitionedCall", "Shape", "Fill"})


def refused_op(ops: Iterable[str]) -> str | None:
    """The first op that no graph may have whose calls are answered together.

    Args:
        ops: all that the fetches reach, those included that only have to run before others.
    """
    known = _KNOWN | _CONSTANTS | _CALLS
    return next((op for op in ops if op not in known), None)
