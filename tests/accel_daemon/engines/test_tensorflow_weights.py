"""What a model weighs is told from its files before they are loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_daemon.engines.engine import Weights
from accel_daemon.engines.tensorflow_weights import weigh
from accel_protocol.manifest import (
    FROZEN_GRAPH,
    FROZEN_GRAPH_FILE,
    SAVED_MODEL,
    Manifest,
    Selection,
)

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1


def saved(signature: str = "serving_default", tags: tuple[str, ...] = ("serve",)) -> Manifest:
    """A manifest that selects a signature."""
    return Manifest(SAVED_MODEL, (), Selection(tags, signature))


def frozen(fetch: str) -> Manifest:
    """A manifest that selects one tensor of a frozen graph."""
    return Manifest(FROZEN_GRAPH, (), Selection((), feeds={}, fetches={"y": fetch}))


def two_parts(folder: Path) -> Path:
    """A SavedModel with a signature of 1000 floats, another of 50 halves, and 7 unused doubles."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.large = tf.Variable(tf.zeros([1000]))
            self.small = tf.Variable(tf.zeros([50], tf.float16))
            self.unused = tf.Variable(tf.zeros([7], tf.float64))

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": tf.reduce_sum(self.large) * x}

        @tf.function(input_signature=[tf.TensorSpec([], tf.float16, name="x")])
        def other(self, x: Any) -> dict[str, Any]:
            return {"y": tf.reduce_sum(self.small) * x}

    model = Model()
    signatures = {"serving_default": model.serve, "other": model.other}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    return folder


def test_variables_of_the_signature_count(tmp_path: Path) -> None:
    """Those of other signatures and those that nothing uses do not."""
    folder = two_parts(tmp_path / "model")
    assert weigh(folder, saved()).variables == 4000
    assert weigh(folder, saved("other")).variables == 100


def test_variables_of_tensorflow_1_count(tmp_path: Path) -> None:
    """Reference variables too."""
    folder = tmp_path / "old"
    with tf1.Session(graph=tf.Graph()) as session, session.graph.as_default():
        x = tf1.placeholder(tf.float32, [], name="x")
        weights = tf1.get_variable("w", [10, 10], use_resource=False)
        y = tf1.reduce_sum(weights) * x
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    assert weigh(folder, saved()).variables == 400


def test_constants_count_by_what_they_are_in_memory(tmp_path: Path) -> None:
    """A million equal values take four bytes in the file; what no fetch needs does not count."""
    with tf.Graph().as_default() as graph:
        tf.reduce_sum(tf.constant(0.5, shape=[1000, 1000]), name="equal")
        tf.reduce_sum(tf.constant(np.arange(1000.0)), name="different")
    (tmp_path / FROZEN_GRAPH_FILE).write_bytes(graph.as_graph_def().SerializeToString())
    equal, different = (weigh(tmp_path, frozen(f"{name}:0")) for name in ("equal", "different"))
    assert equal.variables == 0
    assert 0 <= equal.constants - 4_000_000 < 100
    assert 0 <= different.constants - 8_000 < 100


def test_constants_in_functions_count(tmp_path: Path) -> None:
    """A constant of a TensorFlow 2 model stands in a function that its signature calls."""

    class Model(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": tf.reduce_sum(tf.constant(0.5, shape=[1000])) * x}

    model = Model()
    tf.saved_model.save(model, str(tmp_path / "m"), signatures={"serving_default": model.serve})
    assert 0 <= weigh(tmp_path / "m", saved()).constants - 4000 < 200


@pytest.mark.parametrize("content", [b"", b"\x00", b"no protobuf at all", b"\xff" * 100])
def test_what_cannot_be_read_weighs_nothing(tmp_path: Path, content: bytes) -> None:
    """Loading it says what is wrong."""
    (tmp_path / FROZEN_GRAPH_FILE).write_bytes(content)
    assert weigh(tmp_path, frozen("y:0")) == Weights(0, 0)
    assert weigh(tmp_path, saved()) == Weights(0, 0)


@settings(max_examples=50, deadline=None)
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_damaged_graphs_raise_nothing(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """Whatever is sent, weighing answers."""
    with tf.Graph().as_default() as graph:
        tf.reduce_sum(tf.constant(0.5, shape=[10, 10]), name="y")
    content = bytearray(graph.as_graph_def().SerializeToString())
    content[at % len(content)] = byte
    folder = tmp_path_factory.mktemp("damaged")
    (folder / FROZEN_GRAPH_FILE).write_bytes(bytes(content))
    assert weigh(folder, frozen("y:0")).total >= 0
