"""The cost of a run is what TensorFlow's own shapes and statistics say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from accel_daemon.engines import tensorflow_cost
from accel_daemon.engines.engine import Cost
from accel_daemon.engines.tensorflow_flat import Fed, flatten, without_large_constants

tf = pytest.importorskip("tensorflow")

FLOAT32 = 1
Shape = tuple[int, ...]


def cost_of(function: Callable[..., Any], *shapes: Shape, dtype: Any = None) -> Cost:
    """The cost of a function of tensors, as a graph that calls it as TensorFlow 2 does."""
    kind = dtype or tf.float32
    names = [f"x{number}" for number in range(len(shapes))]
    with tf.Graph().as_default() as graph:
        feeds = [tf.compat.v1.placeholder(kind, None, name=name) for name in names]
        tf.identity(tf.function(function)(*feeds), name="y")
        definition = without_large_constants(graph.as_graph_def(), ["y:0"])
    fed = {
        f"{name}:0": Fed(kind.as_datatype_enum, shape)
        for name, shape in zip(names, shapes, strict=True)
    }
    found = tensorflow_cost.cost(definition, fed, ["y:0"])
    assert found is not None
    return found


def convolved(x: Any) -> Any:
    """Convolution, bias and activation."""
    filters = tf.ones([3, 3, 3, 8])
    return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, filters, 2, "SAME"), tf.ones([8])))


def test_through_functions_with_the_shapes_that_are_fed() -> None:
    """Rank and sizes are known from the feeds only."""
    found = cost_of(lambda x, y: tf.matmul(x, y), (4, 100), (100, 7))
    assert (found.flops_32, found.flops_16, found.incomplete) == (2 * 4 * 100 * 7, 0, False)


def test_more_rows_cost_more() -> None:
    """In proportion."""
    one, eight = (cost_of(convolved, (rows, 32, 32, 3)) for rows in (1, 8))
    assert eight.flops_32 == 8 * one.flops_32


def test_half_floats_are_told_apart() -> None:
    """They run at another throughput."""
    found = cost_of(lambda x, y: tf.matmul(x, y), (4, 100), (100, 7), dtype=tf.float16)
    assert (found.flops_16, found.flops_32) == (5600, 0)


def test_shapes_that_are_computed_are_known() -> None:
    """As in models that flatten what they get."""

    def flattened(x: Any) -> Any:
        rows = tf.shape(x)[0]
        return tf.matmul(tf.reshape(x, [rows, 12]), tf.ones([12, 5]))

    assert cost_of(flattened, (2, 3, 4)).flops_32 == 2 * 2 * 12 * 5


def test_a_loop_is_counted_once_and_both_branches_are() -> None:
    """How often it goes round, and which way it goes, is known only when it runs."""

    def looped(x: Any) -> Any:
        body = lambda i, y: (i + 1, tf.matmul(y, tf.ones([5, 5])))  # noqa: E731
        return tf.while_loop(lambda i, y: i < 3, body, (0, x))[1]

    def branched(x: Any) -> Any:
        return tf.cond(tf.size(x) > 3, lambda: tf.matmul(x, x), lambda: tf.matmul(x, x) + x)

    assert cost_of(looped, (2, 5)).flops_32 == 2 * 2 * 5 * 5
    assert cost_of(branched, (5, 5)).flops_32 == 2 * 250 + 25


def test_what_is_unknown_before_the_run_is_said() -> None:
    """How many rows a mask leaves depends on its values."""

    def masked(x: Any) -> Any:
        rows = tf.ensure_shape(x, [None, 5])
        return tf.matmul(tf.boolean_mask(rows, rows[:, 0] > 0), tf.ones([5, 2]))

    found = cost_of(masked, (9, 5))
    assert found.incomplete
    assert found.flops_32 >= 2 * 5 * 2


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (convolved, (2, 32, 32, 3)),
        (lambda x: tf.nn.depthwise_conv2d(x, tf.ones([3, 3, 3, 2]), [1] * 4, "SAME"), (1, 8, 8, 3)),
        (lambda x: tf.nn.conv3d(x, tf.ones([2, 2, 2, 3, 4]), [1] * 5, "SAME"), (1, 6, 6, 6, 3)),
        (lambda x: tf.nn.conv2d_transpose(x, tf.ones([2, 2, 4, 3]), [1, 8, 8, 4], 2), (1, 4, 4, 3)),
        (lambda x: tf.matmul(x, x, transpose_b=True), (3, 4, 5)),
        (lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME"), (1, 8, 8, 3)),
        (lambda x: tf.nn.softmax(x) * 2.0 + x, (4, 9)),
    ],
)
def test_as_the_library_counts(function: Callable[..., Any], shape: Shape) -> None:
    """TensorFlow's own profiler, which looks at flat graphs only, says the same."""
    profiler = pytest.importorskip("tensorflow.python.profiler.model_analyzer")
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, shape, name="x0")
        tf.identity(function(x), name="y")
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        expected = profiler.profile(graph, options=options).total_float_ops
    assert cost_of(function, shape).flops_32 == pytest.approx(expected, rel=0.03)


def test_memory_of_what_is_computed() -> None:
    """Feed and product live at one time; weights do not count, the final sum is small."""
    weights = np.ones((100, 1000), np.float32)
    found = cost_of(lambda x: tf.reduce_sum(tf.matmul(x, weights)), (50, 100))
    rows, product = 50 * 100 * 4, 50 * 1000 * 4
    assert rows + product <= found.activation_bytes <= rows + product + 100


def test_large_constants_are_left_out() -> None:
    """The copy that is kept for this is small whatever the model weighs."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 1000], name="x")
        tf.matmul(
            x, tf.constant(np.random.default_rng(1).random((1000, 1000), np.float32)), name="y"
        )
        definition = graph.as_graph_def()
    small = without_large_constants(definition, ["y:0"])
    assert small.ByteSize() < 2_000
    found = tensorflow_cost.cost(small, {"x:0": Fed(FLOAT32, (3, 1000))}, ["y:0"])
    assert found is not None
    assert found.flops_32 == 2 * 3 * 1000 * 1000
    assert found.activation_bytes < 100_000


def test_a_tensor_inside_can_be_fed() -> None:
    """What is behind it is not computed then."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 10], name="x")
        inner = tf.matmul(x, tf.ones([10, 10]), name="inner")
        tf.identity(inner + 1.0, name="y")
        definition = without_large_constants(graph.as_graph_def(), ["y:0"])
    found = tensorflow_cost.cost(definition, {"inner:0": Fed(FLOAT32, (3, 10))}, ["y:0"])
    assert found is not None
    assert found.flops_32 == 30


def test_feeds_that_do_not_fit_have_no_cost() -> None:
    """The run itself says what is wrong with them."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 10], name="x")
        tf.matmul(x, tf.ones([10, 10]), name="y")
        definition = without_large_constants(graph.as_graph_def(), ["y:0"])
    assert tensorflow_cost.cost(definition, {"x:0": Fed(FLOAT32, (3, 11))}, ["y:0"]) is None


def test_a_function_that_calls_itself_has_no_cost() -> None:
    """And takes no time."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [2], name="x")
        tf.identity(tf.function(lambda v: v + 1.0)(x), name="y")
        definition = graph.as_graph_def()
    function = definition.library.function[0]
    call = next(node for node in definition.node if "PartitionedCall" in node.op)
    again = function.node_def.add()
    again.CopyFrom(call)
    del again.input[:]
    again.name = "again"
    again.input.append(function.signature.input_arg[0].name)
    assert tensorflow_cost.cost(definition, {"x:0": Fed(FLOAT32, (2,))}, ["y:0"]) is None


def test_flat_graphs_compute_the_same() -> None:
    """Writing functions out changes no value."""

    def function(x: Any) -> Any:
        parts = tf.split(x, 2)
        return tf.function(lambda a, b: a * 2.0 - b)(parts[1], parts[0])

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [4], name="x")
        tf.identity(tf.function(function)(x), name="y")
        definition = graph.as_graph_def()
    flat = flatten(definition, {"x:0": Fed(FLOAT32, (4,))}, ["y:0"])
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(flat, name="")
        assert session.run("y:0", {"accel.fed/0:0": [1, 2, 3, 4]}).tolist() == [5, 6]
