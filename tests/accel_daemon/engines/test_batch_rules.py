"""Which graphs compute each row of their feeds by itself, told without running them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from accel_daemon.engines.engine import TensorSpec
from accel_daemon.engines.tensorflow_batch import why_not_batched

tf1 = tf.compat.v1
RAW = tf.raw_ops
_SIZE = 4

Build = Callable[..., Any]


def judged(build: Build, count: int = 1, dtype: Any = tf.float32) -> str | None:
    """The verdict on a function of `count` placeholders of shape [None, 4]."""
    graph, feeds, fetch = made(build, count, dtype)
    # As if its first size were not known: what it is made of has to tell.
    wanted = TensorSpec(fetch.name, fetch.name, fetch.dtype.as_datatype_enum, (-1, _SIZE))
    return why_not_batched(graph.as_graph_def(), map(spec, feeds), [wanted])


def made(build: Build, count: int = 1, dtype: Any = tf.float32) -> tuple[Any, list[Any], Any]:
    """The graph, what is fed, and what is fetched."""
    with tf.Graph().as_default() as graph:
        feeds = [tf1.placeholder(dtype, [None, _SIZE]) for _ in range(count)]
        return graph, feeds, tf.identity(build(*feeds))


def spec(tensor: Any) -> TensorSpec:
    """As engines describe a tensor."""
    shape = tensor.shape
    sizes = None if shape.rank is None else tuple(-1 if n is None else n for n in shape.as_list())
    return TensorSpec(tensor.name, tensor.name, tensor.dtype.as_datatype_enum, sizes)


def pictures(x: Any) -> Any:
    """[n, 2, 2, 1]."""
    return tf.reshape(x, [-1, 2, 2, 1])


def flattened(x: Any) -> Any:
    """As Keras does: the number of rows is asked for."""
    return tf.reshape(pictures(x), tf.stack([tf.shape(x)[0], 4]))


def in_a_function(x: Any) -> Any:
    """TensorFlow 2 saves all graphs so."""
    return tf.function(lambda y: tf.nn.relu(y) @ tf.ones([4, 3]))(x)


def transposed_convolution(x: Any) -> Any:
    """Of which the output's size is computed."""
    size = tf.concat([tf.shape(x)[:1], [4, 4, 2]], 0)
    return tf.nn.conv2d_transpose(pictures(x), kernel(3, 3, 2, 1), size, 2)


def kernel(*shape: int) -> Any:
    """Weights that are all different."""
    count = int(np.prod(shape))
    return tf.reshape(tf.constant(np.linspace(-1, 1, count, dtype="f")), shape)


def normalized(x: Any, *, is_training: bool = False) -> Any:
    """By constants, or by what is fed."""
    given = [] if is_training else [0.5]
    y, *_ = RAW.FusedBatchNormV3(
        x=pictures(x), scale=[2.0], offset=[1.0], mean=given, variance=given,
        is_training=is_training,
    )  # fmt: skip
    return y


STEPS: dict[str, Build] = {
    "relu": tf.nn.relu,
    "affine": lambda x: x * 2.0 + tf.constant([1.0, 2.0, 3.0, 4.0]),
    "row": lambda x: x + tf.constant([[1.0, 2.0, 3.0, 4.0]]),
    "dense": lambda x: x @ kernel(4, 4),
    "softmax": tf.nn.softmax,
    "scaled": lambda x: x / (1.0 + tf.reduce_max(tf.abs(x), -1, keepdims=True)),
    "convolution": lambda x: tf.reshape(
        tf.nn.conv2d(pictures(x), kernel(3, 3, 1, 1), 1, "SAME"), [-1, 4]
    ),
    "pool": lambda x: tf.tile(
        tf.reshape(tf.nn.max_pool2d(pictures(x), 2, 2, "SAME"), [-1, 1]), [1, 4]
    ),
    "normalized": lambda x: tf.reshape(normalized(x), [-1, 4]),
    "flattened": flattened,
    "turned": lambda x: tf.reshape(tf.transpose(pictures(x), [0, 2, 1, 3]), [-1, 4]),
    "padded": lambda x: tf.pad(x[:, 1:3], [[0, 0], [1, 1]]),
    "joined": lambda x: tf.concat([x[..., 2:], x[..., :2]], -1),
    "split": lambda x: tf.add_n(tf.split(tf.tile(x, [1, 2]), 2, 1)),
    "packed": lambda x: tf.reduce_sum(tf.stack([x, tf.square(x) / 9.0], 1), 1),
    "unpacked": lambda x: tf.expand_dims(tf.unstack(x, axis=1)[1], 1) + x,
    "squeezed": lambda x: tf.squeeze(tf.expand_dims(x, 1), [1]),
    "products": lambda x: tf.reshape(pictures(x)[..., 0] @ kernel(2, 2), [-1, 4]),
    "function": lambda x: tf.concat([in_a_function(x), x[:, :1]], 1),
    "resized": lambda x: tf.reshape(
        tf.compat.v1.image.resize_bilinear(pictures(x), [4, 1]), [-1, 4]
    ),
    "filled": lambda x: x + tf.fill(tf.stack([tf.shape(x)[0], 4]), 0.5),
    "transposed convolution": lambda x: tf.reduce_mean(
        tf.reshape(transposed_convolution(x), [-1, 8, 4]), 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_what_keeps_rows_apart_is_known(name: str) -> None:
    """Each of these, by itself."""
    assert judged(STEPS[name]) is None


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5), st.integers(2, 5))
def test_rows_that_are_answered_together_are_answered_as_one_by_one(
    names: list[str], count: int
) -> None:
    """Whatever is put together from them."""

    def build(x: Any) -> Any:
        for name in names:
            x = STEPS[name](x)
        return x

    graph, (feed,), fetch = made(build)
    assert why_not_batched(graph.as_graph_def(), [spec(feed)], [spec(fetch)]) is None
    rows = np.random.default_rng(count).normal(size=(count, _SIZE)).astype("f")
    with tf1.Session(graph=graph) as session:
        together = session.run(fetch, {feed: rows})
        alone = [session.run(fetch, {feed: rows[i : i + 1]}) for i in range(count)]
    assume(np.isfinite(together).all())
    np.testing.assert_allclose(together, np.concatenate(alone), 1e-4, 1e-5)


def between_rows(x: Any) -> Any:
    """Rows as the axis of a reduction that is told at run time."""
    return x + tf.reduce_mean(x, tf.cast(tf.shape(x)[0] * 0, tf.int32))


def checked(x: Any) -> Any:
    """Of one row that is refused the others would not be answered."""
    with tf.control_dependencies([tf1.assert_positive(x)]):
        return tf.identity(x)


MIXING: dict[str, Build] = {
    "mean": lambda x: x - tf.reduce_mean(x, 0),
    "negative axis": lambda x: x - tf.reduce_max(x, -2),
    "all": lambda x: x / tf.reduce_sum(x),
    "axis of the run": between_rows,
    "training": lambda x: tf.reshape(normalized(x, is_training=True), [-1, 4]),
    "transpose": tf.transpose,
    "products of columns": lambda x: tf.transpose(x) @ x,
    "square": lambda x: tf.matmul(x, x, transpose_b=True),
    "other rows": lambda x: tf.reshape(x, [-1, 8]),
    "one row": lambda x: tf.reshape(x, [1, -1]),
    "unknown rows": lambda x: tf.reshape(x, tf.stack([-1, tf.shape(x)[0]])),
    "first row": lambda x: x + x[0],
    "first rows": lambda x: x[:1],
    "backwards": lambda x: x[::-1],
    "new axis": lambda x: x[tf.newaxis],
    "piece": lambda x: tf.slice(x, [0, 0], [1, 4]),
    "more rows": lambda x: tf.tile(x, [2, 1]),
    "padded rows": lambda x: tf.pad(x, [[1, 0], [0, 0]]),
    "joined rows": lambda x: tf.concat([x, x], 0),
    "split rows": lambda x: tf.split(x, [1, -1], 0)[0],
    "packed rows": lambda x: tf.stack([x, x]),
    "unpacked rows": lambda x: tf.unstack(tf.ensure_shape(x, [2, 4]))[0],
    "squeezed rows": tf.squeeze,
    "expanded rows": lambda x: tf.expand_dims(x, 0),
    "softmax of one axis": lambda x: tf.nn.softmax(x[:, 0]),
    "best row": lambda x: tf.argmax(x, 0),
    "a constant with rows": lambda x: x + tf.ones([2, 4]),
    "by how many": lambda x: x * tf.cast(tf.shape(x)[0], tf.float32),
    "random": lambda x: x + tf.random.uniform([4]),
    "order": lambda x: tf.sort(x, 0),
    "sums so far": lambda x: tf.cumsum(x),
    "a jump": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
    "a branch": lambda x: tf.cond(tf.reduce_all(x > 0), lambda: x, lambda: -x),
    "checked": checked,
    "the same for all": lambda x: tf.ones([3, 4]),
    "a loop": lambda x: tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 2), [0, x])[1],
}


@pytest.mark.parametrize("name", MIXING)
def test_everything_else_is_left_alone(name: str) -> None:
    """Rows that depend on each other, and what is not known."""
    assert judged(MIXING[name]) is not None


def test_several_feeds_have_their_rows_in_common() -> None:
    """A row of the answer is made from that row of each."""
    assert judged(lambda x, y: x * tf.nn.relu(y), 2) is None
    assert judged(lambda x, y: tf.matmul(x, y, transpose_b=True), 2) is not None


def test_rows_of_numbers_are_looked_up_in_a_table() -> None:
    """Along the table's first axis, and a table that is not fed."""
    table = np.ones((9, 3), np.float32)
    assert judged(lambda x: tf.gather(table, x), dtype=tf.int32) is None
    assert judged(lambda x: tf.gather(table, x, axis=1), dtype=tf.int32) is not None
    assert judged(lambda x: tf.gather(x, [0]), dtype=tf.int32) is not None


def test_feeds_and_fetches_without_rows_are_left_alone() -> None:
    """A fixed first size is one that the model relies on."""
    graph, (feed,), fetch = made(tf.nn.relu)
    definition, fixed = graph.as_graph_def(), TensorSpec("x", feed.name, 1, (1, 4))
    assert why_not_batched(definition, [fixed], [spec(fetch)]) is not None
    assert why_not_batched(definition, [spec(feed)], [spec(feed)]) is not None
    assert why_not_batched(definition, [], [spec(fetch)]) is not None
    unknown = TensorSpec("x", feed.name, 1, None)
    assert why_not_batched(definition, [unknown], [spec(fetch)]) is not None
