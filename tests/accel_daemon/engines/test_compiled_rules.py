"""Which graphs may be compiled, told from their messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tensorflow as tf

from accel_daemon.engines.compiled_rules import refused_op, why_not

tf1 = tf.compat.v1
RAW = tf.raw_ops


def graph(build: Callable[..., Any], *dtypes: Any, shape: Any = (2, 4)) -> tuple[Any, list[str]]:
    """The GraphDef of a function of placeholders, and its fetches."""
    with tf.Graph().as_default() as made:
        fetch = build(*(tf1.placeholder(one, shape) for one in dtypes or (tf.float32,)))
    return made.as_graph_def(), [fetch.name]


def reshaped(x: Any) -> Any:
    """To a shape that follows from the feed's, as flattening does."""
    rows = tf.strided_slice(tf.shape(x), [0], [1], shrink_axis_mask=1)
    return tf.reshape(x, tf.stack([rows, 2, -1]))


def pictures(x: Any) -> Any:
    """From bytes to floats."""
    return tf.cast(tf.expand_dims(x, 0), tf.float32) / 255.0


ALLOWED: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (lambda x: tf.nn.softmax(tf.matmul(x, tf.ones([4, 3])) + 1.0), ()),
    (lambda x: tf.nn.relu(x) * tf.sigmoid(x), ()),
    (lambda x, y: tf.concat([x, y], 1), (tf.float32, tf.float32)),
    (reshaped, ()),
    (pictures, (tf.uint8,)),
    (lambda x: tf.argmax(x, 1), ()),
    (lambda x: tf.cast(tf.squeeze(tf.argmax(x, 1)), tf.int32), ()),
    (lambda x: tf.reduce_mean(x, [0]) + tf.cast(tf.size(x), tf.float32), ()),
]


@pytest.mark.parametrize(("build", "dtypes"), ALLOWED)
def test_smooth_functions_of_floats_are_compiled(
    build: Callable[..., Any], dtypes: tuple[Any, ...]
) -> None:
    """With shapes that are computed from shapes."""
    assert why_not(*graph(build, *dtypes)) is None


def in_training(x: Any) -> Any:
    """Normalized by what is fed."""
    one = tf.ones([4])
    image = tf.reshape(x, [1, 1, 2, 4])
    return RAW.FusedBatchNormV3(
        x=image, scale=one, offset=one, mean=one, variance=one, is_training=True
    )[0]


REFUSED: list[tuple[Callable[..., Any], tuple[Any, ...], str]] = [
    (lambda x: x + 1.0, (tf.float64,), "element type"),
    (lambda x: x + 1.0, (tf.float16,), "element type"),
    (lambda x: x + tf.cast(tf.ones([4], tf.float64), tf.float32), (), "element type"),
    (lambda x: tf.identity_n([x, tf.argmax(x, 1)])[1] + 1, (), "of places of largest elements"),
    (lambda x: x + 1, (tf.int32,), "a feed has an element type"),
    (lambda x: x + 1, (tf.uint8,), "of bytes as they were fed"),
    (lambda x: tf.cast(x, tf.int32), (), "Cast"),
    (lambda x: tf.gather(tf.ones([9]), tf.argmax(x, 1)), (), "GatherV2"),
    (lambda x: tf.cast(tf.argmax(x, 1), tf.float32), (), "Cast"),
    (lambda x: tf.argmax(x, 1) + 1, (), "of places of largest elements"),
    (lambda x: tf.reshape(x, tf.argmax(x, 1)), (), "Reshape"),
    (lambda x: tf.where(x > 0, x, -x), (), "Greater"),
    (tf.round, (), "Round"),
    (tf.floor, (), "Floor"),
    (in_training, (), "in training"),
    (lambda x: tf.ones([2]), (), "does not depend on its feeds"),
    (lambda x: x + tf.random.uniform([4]), (), "RandomUniform"),
    (lambda x: tf.strings.length(tf.strings.as_string(x)), (), "AsString"),
]


@pytest.mark.parametrize(("build", "dtypes", "why"), REFUSED)
def test_others_are_not(build: Callable[..., Any], dtypes: tuple[Any, ...], why: str) -> None:
    """The reason names the op."""
    assert why in str(why_not(*graph(build, *dtypes)))


def test_a_loop_of_nodes_is_refused() -> None:
    """A graph may contradict itself, and looking at it ends all the same."""
    definition, fetches = graph(lambda x: tf.nn.relu(tf.abs(x)))
    (first,) = (node for node in definition.node if node.op == "Abs")
    (second,) = (node for node in definition.node if node.op == "Relu")
    first.input[0] = second.name
    assert why_not(definition, fetches) == "it goes round in a circle"


def test_a_node_that_is_not_there_is_refused() -> None:
    """So is what needs it."""
    assert "does not have" in str(why_not(graph(tf.abs)[0], ["other:0"]))


@pytest.mark.parametrize("op", ["Assert", "LookupTableFindV2", "While", "AssignVariableOp"])
def test_what_only_has_to_run_before_counts(op: str) -> None:
    """A compiled graph would leave it out."""
    ops: Iterator[str] = iter(["Placeholder", "NoOp", "VarHandleOp", op, "Relu"])
    assert refused_op(ops) == op
    assert refused_op(["Placeholder", "PartitionedCall", "MatMul", "ArgMax", "Shape"]) is None
