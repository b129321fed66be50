"""How many floating-point operations one op takes, from the shapes it gets and gives. Pure.

A multiplication and an addition are two operations. What is no arithmetic (moving, comparing
indexes, texts) counts as nothing. The figures are those of the op's definition; a library may get
by with fewer, as fast convolutions do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Op:
    """One op: its type, the shapes of its inputs and outputs, and its attributes.

    Sizes that are not known stand as 1; an unknown rank stands as an empty shape.
    """

    type: str
    inputs: Sequence[Shape]
    outputs: Sequence[Shape]
    attribute: Callable[[str], Any]


def flops(op: Op) -> int:
    """The operations of one op."""
    if op.type in _COUNTS:
        return _COUNTS[op.type](op)
    if op.type in _PER_OUTPUT:
        return _PER_OUTPUT[op.type] * _size(op.outputs)
    return _size(op.inputs) if op.type in _REDUCTIONS else 0


def is_counted(op_type: str) -> bool:
    """Whether ops of this type count, given that their shapes are known."""
    return op_type in _COUNTS or op_type in _PER_OUTPUT or op_type in _REDUCTIONS


def _size(shapes: Sequence[Shape]) -> int:
    return prod(shapes[0]) if shapes else 0


def _matmul(op: Op) -> int:
    first = op.inputs[0]
    if len(first) != 2:
        return 0
    return 2 * _size(op.outputs) * first[0 if op.attribute("transpose_a") else 1]


def _batch_matmul(op: Op) -> int:
    first = op.inputs[0]
    if len(first) < 2:
        return 0
    return 2 * _size(op.outputs) * first[-2 if op.attribute("adj_x") else -1]


def _convolution(op: Op) -> int:
    """For each result one product with a whole filter."""
    return 2 * _size(op.outputs) * prod(op.inputs[1][:-1])


def _depthwise(op: Op) -> int:
    return 2 * _size(op.outputs) * prod(op.inputs[1][:-2])


def _transposed_convolution(op: Op) -> int:
    """Inputs are a size, the filter, and what is convolved: a whole filter for each value of it."""
    return 2 * prod(op.inputs[2]) * prod(op.inputs[1][:-1]) if len(op.inputs) > 2 else 0


def _pooling(op: Op) -> int:
    window: Sequence[int] = op.attribute("ksize")
    return _size(op.outputs) * prod(window)


def _einsum(op: Op) -> int:
    """One product and one sum for each combination of the labels; a sum only for one operand."""
    equation = op.attribute("equation")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    terms = text.replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(op.inputs):
        return 0
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, op.inputs, strict=True):
        for label, size in _labelled(term, shape):
            sizes[label] = max(size, sizes.get(label, 1))
    return (2 if len(terms) > 1 else 1) * prod(sizes.values())


def _labelled(term: str, shape: Shape) -> list[tuple[str, int]]:
    """Each label of an operand with its size; dimensions of "..." are counted from the right."""
    before, dots, after = term.partition("...")
    hidden = len(shape) - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        return []
    labels = [*before, *(f"...{hidden - place}" for place in range(hidden)), *after]
    return list(zip(labels, shape, strict=True))


def _lstm_block(op: Op) -> int:
    """Inputs: length, x [time, batch, input], …, w [input + cells, 4 · cells]."""
    if len(op.inputs) < 5 or len(op.inputs[1]) != 3:
        return 0
    time, batch, _ = op.inputs[1]
    return 2 * time * batch * prod(op.inputs[4])


def _lstm_cell(op: Op) -> int:
    """Inputs: x [batch, input], …, w [input + cells, 4 · cells]."""
    is_known = len(op.inputs) > 3 and len(op.inputs[0]) == 2
    return 2 * op.inputs[0][0] * prod(op.inputs[3]) if is_known else 0


def _gru_cell(op: Op) -> int:
    """Inputs: x [batch, input], h, w for reset and update, w for the candidate."""
    is_known = len(op.inputs) > 3 and len(op.inputs[0]) == 2
    weights = prod(op.inputs[2]) + prod(op.inputs[3]) if is_known else 0
    return 2 * op.inputs[0][0] * weights if is_known else 0


_COUNTS: Mapping[str, Callable[[Op], int]] = {
    "MatMul": _matmul,
    "SparseMatMul": _matmul,
    "BatchMatMul": _batch_matmul,
    "BatchMatMulV2": _batch_matmul,
    "BatchMatMulV3": _batch_matmul,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3DBackpropInput": _transposed_convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "MaxPool": _pooling,
    "MaxPool3D": _pooling,
    "AvgPool": _pooling,
    "AvgPool3D": _pooling,
    "Einsum": _einsum,
    "BlockLSTM": _lstm_block,
    "BlockLSTMV2": _lstm_block,
    "LSTMBlockCell": _lstm_cell,
    "GRUBlockCell": _gru_cell,
}
_ONCE = (
    "Add", "AddV2", "Sub", "Mul", "MulNoNan", "Div", "DivNoNan", "RealDiv", "FloorDiv", "FloorMod",
    "Mod", "Maximum", "Minimum", "Pow", "SquaredDifference", "BiasAdd", "BiasAddV1", "Neg", "Abs",
    "Square", "Sqrt", "Rsqrt", "Reciprocal", "Inv", "Exp", "Expm1", "Log", "Log1p", "Sin", "Cos",
    "Tan", "Sinh", "Cosh", "Tanh", "Asin", "Acos", "Atan", "Atan2", "Sigmoid", "Erf", "Erfc",
    "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus", "Softsign", "Floor", "Ceil", "Round",
    "Rint", "Sign", "ClipByValue", "Cumsum", "Cumprod", "Xlogy", "Xdivy",
)  # fmt: skip
# Operations for each value of the result.
_PER_OUTPUT: Mapping[str, int] = {
    **dict.fromkeys(_ONCE, 1),
    "FusedBatchNorm": 2,
    "FusedBatchNormV2": 2,
    "FusedBatchNormV3": 2,
    "Softmax": 5,
    "LogSoftmax": 5,
    "LRN": 5,
    "ResizeBilinear": 7,
}
_REDUCTIONS = frozenset(
    {"Sum", "Mean", "Prod", "Max", "Min", "EuclideanNorm", "L2Loss", "SegmentSum", "AddN"}
)
