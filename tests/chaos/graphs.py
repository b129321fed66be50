"""Graphs whose answers are known without TensorFlow: exactly, for whole numbers of this size."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tests.integration.conftest import counting_model as looping_graph
from tests.integration.test_faults import counting_model as counting_graph

__all__ = ["answer", "counting_graph", "feeds", "looping_graph", "matrix_graph", "width"]

# Columns: the largest ones take several messages each way.
_WIDTHS = (8, 8, 4_096, 65_536, 262_144)
Floats = npt.NDArray[np.float32]


def width(number: int) -> int:
    """How many columns the graph of this number has."""
    return _WIDTHS[number % len(_WIDTHS)]


@lru_cache(8)
def _weights(number: int) -> Floats:
    chance = np.random.default_rng(number)
    return chance.integers(1, 100, (4, width(number))).astype(np.float32)


@cache
def _template(number: int) -> Any:
    """A graph y = x·w whose w is replaced: TensorFlow keeps memory of each graph that it makes."""
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        tf.linalg.matmul(x, tf.constant(_weights(number), name="w"), name="y")
    return graph.as_graph_def()


def matrix_graph(path: Path, number: int) -> Path:
    """Write the frozen graph y = x·w with the w of this number, unless it is there."""
    if path.exists():
        return path
    graph = _template(_WIDTHS.index(width(number)))
    copy = type(graph).FromString(graph.SerializeToString())
    (w,) = [node for node in copy.node if node.name == "w"]
    w.attr["value"].tensor.tensor_content = _weights(number).tobytes()
    path.write_bytes(copy.SerializeToString())
    return path


def feeds(request: int) -> dict[str, Any]:
    """The feeds of one request, which no other request of a campaign has."""
    row = [request % 1_000, request // 1_000 % 1_000, request // 1_000_000, 1]
    return {"x": np.array([row], np.float32)}


def answer(number: int, request: int) -> Floats:
    """What the graph of this number answers to that request."""
    exact: Floats = feeds(request)["x"] @ _weights(number)
    return exact
