"""Whether running a graph again changes anything, told from its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.manifest import Selection
from tests.accel_daemon.engines.conftest import Signatures, load, save_graph

tf1 = tf.compat.v1


def assigning() -> Signatures:
    """A graph with one fetch that changes a variable, and one that only reads it."""
    x = tf1.placeholder(tf.float32, [], name="x")
    state = tf1.get_variable("state", initializer=0.0, use_resource=True)
    old = tf1.get_variable("old", initializer=0.0, use_resource=False)
    read = tf.add(state.read_value(), x, name="read")
    changed = tf.identity(state.assign_add(x).read_value(), name="changed")
    with tf.control_dependencies([state.assign(x)]):
        controlled = tf.identity(x, name="controlled")
    assigned = tf1.assign(old, x)
    with tf.control_dependencies([assigned]):
        assigned_first = tf.identity(x, name="assigned_first")
    noisy = tf.add(tf.random.uniform([]), x, name="noisy")
    return {
        key: ({"x": x}, {"y": y})
        for key, y in {
            "read": read, "changed": changed, "controlled": controlled, "noisy": noisy,
            "old": tf.identity(old), "assigned": tf.identity(assigned),
            "assigned first": assigned_first,
        }.items()
    }  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "repeatable"),
    [
        ("read", True),
        ("old", True),
        ("noisy", True),
        ("changed", False),
        ("controlled", False),
        ("assigned", False),
        ("assigned first", False),
    ],
)
def test_what_a_fetch_reaches_decides_whether_it_is_repeatable(
    tmp_path: Path, signature: str, repeatable: bool
) -> None:
    """Also through control dependencies; what no fetch reaches does not count."""
    folder = save_graph(tmp_path / "model", assigning)
    assert load(folder, Selection(signature=signature)).repeatable is repeatable


@pytest.mark.parametrize(
    ("signature", "repeatable"), [("serving_default", True), ("lookup", True), ("counted", False)]
)
def test_functions_are_looked_into(words_folder: Path, signature: str, repeatable: bool) -> None:
    """TensorFlow 2 puts everything into functions, assignments too."""
    assert load(words_folder, Selection(signature=signature)).repeatable is repeatable


def test_state_is_one_graph_s_own(words_folder: Path) -> None:
    """A model loaded twice counts twice."""
    one, two = (load(words_folder, Selection(signature="counted")) for _ in range(2))
    feed = {"x": np.array(1, np.float32)}
    counts = [int(graph.run(feed, None)["calls"]) for graph in (one, one, two, one)]
    assert counts == [1, 2, 1, 3]
