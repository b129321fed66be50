"""Which graphs may be compiled, decided from their messages alone. Pure.

A compiled engine answers in TensorFlow's place, and nobody must be able to tell, so only graphs get
there for which it cannot make a difference:

- Whether a run fails depends on the shapes of its feeds alone. TensorFlow has run with the same
  shapes before, so nothing is left to refuse: no index out of bounds, no division of integers.
- The answer follows its feeds without jumps, so that another order of additions changes it by as
  little as it does in TensorFlow. Choosing the largest of several is allowed as a last step.
- Nothing is random, nothing has state, nothing is text, and no float is but a float32.

It is a list of what is allowed, and it is shorter than what is admitted on purpose: every op in it
is one more way from a stranger's file into another large library.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from accel_daemon.engines.tensorflow_graph import node_name, output_index

FLOAT, _UINT8, _INT32, _INT64, _BOOL = 1, 4, 3, 9, 10  # DataType
FED_TYPES = frozenset({FLOAT, _UINT8})
_TYPES = frozenset({FLOAT, _UINT8, _INT32, _INT64, _BOOL})

# Functions of floats without jumps.
_SMOOTH = frozenset(
    {
        *("Abs", "Add", "AddN", "AddV2", "AvgPool"),
        *("AvgPool3D", "BatchMatMul", "BatchMatMulV2", "BiasAdd", "Conv2D"),
        *("Conv2DBackpropInput", "Conv3D", "DepthwiseConv2dNative", "Elu", "Erf"),
        *("Exp", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "LRN"),
        *("LeakyRelu", "Log", "LogSoftmax", "MatMul", "Max"),
        *("MaxPool", "MaxPool3D", "Maximum", "Mean", "Min"),
        *("Minimum", "Mul", "Neg", "RealDiv", "Relu"),
        *("Relu6", "ResizeBilinear", "Rsqrt", "Selu", "Sigmoid"),
        *("Softmax", "Softplus", "Softsign", "Sqrt", "Square"),
        *("SquaredDifference", "Sub", "Sum", "Tanh"),
    }
)
# They move elements and change none. What says where to comes from shapes and constants.
_MOVES = frozenset(
    {
        *("BatchToSpaceND", "ConcatV2", "DepthToSpace", "ExpandDims", "Identity"),
        *("IdentityN", "MirrorPad", "Pack", "Pad", "PadV2"),
        *("PreventGradient", "Reshape", "ResizeNearestNeighbor", "Slice", "Snapshot"),
        *("SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze"),
        *("StopGradient", "StridedSlice", "Tile", "Transpose", "Unpack"),
    }
)
_MEASURES = frozenset({"Rank", "Shape", "ShapeN", "Size"})
# Of shapes and constants.
_STATIC = _SMOOTH | _MOVES | frozenset({"Cast", "Const", "Fill", "GatherV2", "Prod", "Range"})
_LAST = "ArgMax"
# What becomes of its numbers.
_AFTER_LAST = frozenset({"ExpandDims", "Identity", "Reshape", "Squeeze"})
_FED = "Placeholder"
_EACH = "IdentityN"
# What a graph has before its functions are written out and its variables are constants.
_AROUND = frozenset(
    {
        *("NoOp", "PartitionedCall", "StatefulPartitionedCall", "VarHandleOp", "ReadVariableOp"),
        *("Variable", "VariableV2"),
    }
)
_TRAINING = "is_training"


class _Kind(Enum):
    """What a tensor holds."""

    STATIC = "told from shapes and constants"
    FLOATS = "floats that depend on feeds"
    BYTES = "bytes as they were fed"
    NUMBERS = "places of largest elements"


def refused_op(ops: Iterable[str]) -> str | None:
    """The first op that no graph may have that is to be compiled.

    Args:
        ops: all that the fetches reach, those included that only have to run before others.
    """
    known = _STATIC | _MEASURES | _AROUND | {_LAST, _FED}
    return next((op for op in ops if op not in known), None)


def why_not(graph_def: Any, fetches: Iterable[str]) -> str | None:
    """Why a graph is not compiled; None where it may be.

    Args:
        graph_def: without functions and variables; placeholders stand for all feeds.
        fetches: names of its tensors that are wanted.
    """
    nodes = {node.name: node for node in graph_def.node}
    kinds = _Kinds()
    try:
        for name in _in_order(nodes, fetches):
            kinds.add(nodes[name])
    except _NotAllowedError as reason:
        return str(reason)
    if all(kinds.of(fetch) is _Kind.STATIC for fetch in fetches):
        return "its answer does not depend on its feeds"
    return None


class _NotAllowedError(Exception):
    """The graph is not to be compiled; the text says why."""


class _Kinds:
    """What the tensors of the nodes so far hold."""

    def __init__(self) -> None:
        self._found: dict[str, list[_Kind]] = {}

    def add(self, node: Any) -> None:
        """Add a node; those before it are there.

        Raises:
            _NotAllowedError: see there.
        """
        inputs = [self.of(one) for one in node.input]
        # What a function answers comes out of one of these, each tensor for itself.
        self._found[node.name] = inputs if node.op == _EACH else [_kind(node, inputs)]

    def of(self, tensor: str) -> _Kind:
        """What a tensor holds; of most nodes all outputs hold the same."""
        found = self._found[node_name(tensor)]
        index = output_index(tensor) if len(found) > 1 else 0
        if index >= len(found):
            raise _NotAllowedError("it needs an output that a node does not have")
        return found[index]


def _kind(node: Any, inputs: list[_Kind]) -> _Kind:
    _check_attributes(node)
    if node.op == _FED:
        return _fed_kind(node)
    if node.op in _MEASURES:
        return _Kind.STATIC
    given = {kind for kind in inputs if kind is not _Kind.STATIC}
    if not given and node.op in _STATIC:
        return _Kind.STATIC
    if given == {_Kind.FLOATS} and node.op in _SMOOTH | _MOVES:
        return _Kind.FLOATS
    if given == {_Kind.FLOATS} and node.op == _LAST:
        return _Kind.NUMBERS
    if node.op == "Cast" and given and _cast_is_plain(node, *given):
        return _Kind.NUMBERS if given == {_Kind.NUMBERS} else _Kind.FLOATS
    if len(given) == 1 and node.op in _AFTER_LAST:
        return given.pop()
    what = " and ".join(sorted(kind.value for kind in given)) or "nothing"
    raise _NotAllowedError(f"{node.op} of {what} is not compiled")


def _check_attributes(node: Any) -> None:
    for name, value in node.attr.items():
        if value.WhichOneof("value") == "type" and value.type not in _TYPES:
            raise _NotAllowedError(f"{node.op} has an element type that is not compiled")
        if name == _TRAINING and value.b:
            raise _NotAllowedError(f"{node.op} is in training")


def _fed_kind(node: Any) -> _Kind:
    dtype = node.attr["dtype"].type
    if dtype not in FED_TYPES:
        raise _NotAllowedError("a feed has an element type that is not compiled")
    return _Kind.FLOATS if dtype == FLOAT else _Kind.BYTES


def _cast_is_plain(node: Any, *given: _Kind) -> bool:
    """Whether a cast keeps every value: bytes to floats, or numbers from one width to another."""
    wanted = node.attr["DstT"].type
    if given == (_Kind.NUMBERS,):
        return wanted in (_INT32, _INT64)
    return wanted == FLOAT and len(given) == 1


def _in_order(nodes: Mapping[str, Any], fetches: Iterable[str]) -> Iterable[str]:
    """Names of all nodes that the fetches need, each after those that it needs itself.

    Raises:
        _NotAllowedError: there is a circle, or a node is not there.
    """
    done: dict[str, bool] = {}
    waiting = [node_name(fetch) for fetch in fetches]
    while waiting:
        name = waiting[-1]
        if done.get(name):
            waiting.pop()
        elif name in done:  # what it needs is done by now
            done[name] = True
            yield name
        elif name not in nodes:
            raise _NotAllowedError("it needs a node that it does not have")
        else:
            done[name] = False
            sources = [node_name(one) for one in nodes[name].input]
            if any(done.get(source) is False for source in sources):
                raise _NotAllowedError("it goes round in a circle")
            waiting.extend(source for source in sources if source not in done)
