"""Frozen graphs on an accelerator, as Amazon's object detection sample used them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from client_runtime import EIPredictor

pytestmark = pytest.mark.usefixtures("each_lane")
tf1 = tf.compat.v1
NAMES: dict[str, Any] = {
    "input_names": {"inputs": "image_tensor:0"},
    "output_names": {"sum": "sum:0", "scaled": "scaled:0"},
}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A frozen graph of an image in bytes, with an op before it that no TensorFlow has."""
    with tf.Graph().as_default() as graph:
        raw = tf1.placeholder(tf.string, [], name="raw")
        decoded = tf.reshape(tf.io.decode_raw(raw, tf.uint8), [1, -1, 1, 1], name="decoded")
        image = tf.identity(decoded, name="image_tensor")
        scaled = tf.multiply(tf.cast(image, tf.float32), tf.constant(0.5), name="scaled")
        tf.reduce_sum(scaled, name="sum")
    graph_def = graph.as_graph_def()
    for node in graph_def.node:
        node.op = "NoSuchOp" if node.op == "DecodeRaw" else node.op
    path = tmp_path / "frozen_inference_graph.pb"
    path.write_bytes(graph_def.SerializeToString())
    return path


@pytest.mark.parametrize("size", [1, 100])
def test_a_frozen_graph_runs_on_an_accelerator(home: Path, graph: Path, size: int) -> None:
    """Named tensors, dtypes converted, shapes that change from call to call."""
    image = np.random.default_rng(size).integers(0, 255, (1, size, size, 3))
    with EIPredictor(graph, **NAMES) as predictor:
        answer = predictor({"inputs": image})
        again = predictor({"inputs": image[:, :1]})
    np.testing.assert_allclose(answer["scaled"], image * 0.5)
    np.testing.assert_allclose(answer["sum"], image.sum() * 0.5, rtol=1e-5)
    assert again["scaled"].shape == (1, 1, size, 3)


def test_the_same_file_elsewhere_is_not_sent_again(home: Path, graph: Path, tmp_path: Path) -> None:
    """The model is its content, not its name."""
    copy = tmp_path / "copy.pb"
    copy.write_bytes(graph.read_bytes())
    with EIPredictor(graph, **NAMES) as first, EIPredictor(str(copy), **NAMES) as second:
        image = np.ones((1, 2, 2, 3))
        first({"inputs": image})
        second({"inputs": image})
        assert second.uploaded_bytes == 0


def test_names_are_mandatory(graph: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="must both be specified"):
        EIPredictor(graph)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """An OSError, at construction."""
    with pytest.raises(OSError, match="No such file"):
        EIPredictor(tmp_path / "absent.pb", **NAMES)


def test_local_and_remote_are_equal(home: Path, tmp_path: Path) -> None:
    """`use_ei=False` gives what the accelerator gives."""
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 4], name="image_tensor")
        tf.reduce_sum(tf.nn.softmax(x, name="scaled"), name="sum")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    x = np.random.default_rng(0).random((3, 4))
    with EIPredictor(path, **NAMES) as remote, EIPredictor(path, use_ei=False, **NAMES) as local:
        there, here = remote({"inputs": x}), local({"inputs": x})
    assert set(there) == set(here)
    for alias in there:
        np.testing.assert_allclose(here[alias], there[alias], rtol=1e-5)
