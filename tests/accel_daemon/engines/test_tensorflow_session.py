"""Graphs of one model that share its variables see each other's changes, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines.compiled_engine import CompilingEngine
from accel_daemon.engines.compiled_graph import CompilingGraph
from accel_daemon.engines.engine import Graph
from accel_daemon.engines.sharing import NotSharedError, Shared
from accel_daemon.engines.tensorflow import TensorFlowEngine
from accel_protocol.errors import CancelledError, ModelError
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from tests.accel_daemon.engines.conftest import ENGINE, Signatures, named, save_graph

tf1 = tf.compat.v1
GET, INCR = named({}, {"n": "get:0"}), named({"by": "by:0"}, {"n": "incr:0"})
FIXED = named({"x": "x:0"}, {"y": "y:0"})


def counter(*, resource: bool) -> Signatures:
    """A counter of its own kind of variable, reset by the model's initialization; and a product."""
    count = tf1.get_variable("count", initializer=5.0, use_resource=resource)
    local = tf1.get_variable(
        "local", initializer=0.0, use_resource=resource, collections=["local_variables"]
    )
    by = tf1.placeholder(tf.float32, [], name="by")
    both = tf.group(tf1.assign_add(count, by), tf1.assign_add(local, by))
    with tf.control_dependencies([both]):
        incr = tf.add(tf1.identity(count), local, name="incr")
    get = tf.add(tf1.identity(count), local, name="get")
    x = tf1.placeholder(tf.float32, [None], name="x")
    y = tf.multiply(x, tf1.get_variable("factor", initializer=3.0), name="y")
    after = tf.group(both, name="after")
    with tf.control_dependencies([after]):
        tf.constant(1.0, name="once_more")
    return {
        "get": ({"by": by}, {"n": get}),
        "incr": ({"by": by}, {"n": incr}),
        "y": ({"x": x}, {"y": y}),
    }


def constant() -> Signatures:
    """Two signatures of one weight; none of them changes it, but another tensor does."""
    weight = tf1.get_variable("weight", initializer=tf.ones((4, 4)), use_resource=True)
    x = tf1.placeholder(tf.float32, [None, 4], name="x")
    y = tf.matmul(x, weight.read_value(), name="y")
    total = tf.reduce_sum(y, name="total")
    tf.identity(weight.assign_add(tf.ones((4, 4))).read_value(), name="changed")
    return {"y": ({"x": x}, {"y": y}), "total": ({"x": x}, {"total": total})}


def save(folder: Path, build: Callable[[], Signatures]) -> Path:
    """A SavedModel whose initialization initializes its local variables."""
    with tf1.Session(graph=tf.Graph()) as session:
        signatures = {
            key: tf1.saved_model.predict_signature_def(dict(inputs), dict(outputs))
            for key, (inputs, outputs) in build().items()
        }
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session, ["serve"], signatures, main_op=tf1.local_variables_initializer()
        )
        builder.save()
    return folder


def share(folder: Path, selection: Selection, shared: Shared | None, engine: Any = ENGINE) -> Graph:
    """Load a graph with what it shares."""
    graph: Graph = engine.load(folder, Manifest(SAVED_MODEL, (), selection), shared)
    return graph


def count(graph: Graph, **feeds: float) -> float:
    """What a counter answers."""
    fed = {alias: np.float32(value) for alias, value in feeds.items()}
    return float(graph.run({alias: np.asarray(v) for alias, v in fed.items()}, 60)["n"])


@pytest.mark.parametrize("resource", [True, False])
def test_graphs_that_share_see_what_others_change(tmp_path: Path, resource: bool) -> None:
    """Whichever was loaded first; what is loaded later resets nothing, nor what is closed."""
    folder, shared = save(tmp_path / "m", lambda: counter(resource=resource)), Shared()
    get = share(folder, GET, shared)
    assert count(get) == 5
    incr = share(folder, INCR, shared)
    assert count(incr, by=1) == 7
    assert count(get) == 7
    get.close()
    assert count(incr, by=1) == 9
    assert count(share(folder, GET, shared)) == 9
    assert count(share(folder, GET, Shared())) == 5
    assert count(share(folder, GET, None)) == 5
    shared.held.close()
    with pytest.raises(CancelledError):
        count(incr, by=1)


def test_a_part_waits_for_ops_of_another_that_have_no_outputs(tmp_path: Path) -> None:
    """What it may only follow is there already, and runs before it."""
    folder, shared = save(tmp_path / "m", lambda: counter(resource=True)), Shared()
    get = share(folder, GET, shared)
    share(folder, INCR, shared)
    after = share(folder, named({"by": "by:0"}, {"n": "once_more:0"}), shared)
    second = share(folder, named({"by": "by:0"}, {"n": "once_more:0", "m": "get:0"}), shared)
    assert count(after, by=2) == 1
    assert count(get) == 9
    assert count(second, by=2) == 1
    assert count(get) == 13


def test_nodes_of_the_engine_are_nobody_s(tmp_path: Path) -> None:
    """Whoever could name the path that variables are restored from would read any file."""
    folder, shared = save(tmp_path / "m", lambda: counter(resource=True)), Shared()
    share(folder, GET, shared)
    names = [op.name for op in shared.held.session.graph.get_operations()]
    assert "accel_restore/RestoreV2" in names
    for feeds in ({}, {"path": "accel_restore/Placeholder:0"}):
        with pytest.raises(ModelError, match="has no tensor 'accel_restore"):
            share(folder, named(feeds, {"v": "accel_restore/RestoreV2:0"}), shared)
    with pytest.raises(ModelError, match="has no tensor 'accel_restore"):
        share(folder, named({"path": "accel_restore/Placeholder:0"}, {"n": "get:0"}), shared)


def test_each_variable_is_there_once(tmp_path: Path) -> None:
    """And restored once; a graph that is loaded again adds nothing."""
    folder, shared = save_graph(tmp_path / "m", constant), Shared()
    y, total = named({"x": "x:0"}, {"y": "y:0"}), named({"x": "x:0"}, {"total": "total:0"})
    engine = CompilingEngine(ENGINE, batches=False)
    for selection in (y, total):
        share(folder, selection, shared, engine)
    ops = shared.held.session.graph.get_operations()
    assert [op.name for op in ops if op.type == "VarHandleOp"] == ["weight"]
    assert [op.name for op in ops if op.type == "RestoreV2"] == ["accel_restore/RestoreV2"]
    for selection in (y, total):
        graph = share(folder, selection, shared, engine)
        fed = {"x": np.ones((1, 4), np.float32)}
        assert float(np.sum(next(iter(graph.run(fed, 60).values())))) == 16
    assert len(shared.held.session.graph.get_operations()) == len(ops)


def test_what_others_may_change_is_not_compiled(tmp_path: Path) -> None:
    """A compiled graph has the values of its variables in it."""
    changing, steady = Shared(), Shared()
    engine = CompilingEngine(ENGINE, batches=False)
    folder = save(tmp_path / "m", lambda: counter(resource=True))
    assert not isinstance(share(folder, FIXED, changing, engine), CompilingGraph)
    assert isinstance(share(folder, FIXED, None, engine), CompilingGraph)
    folder = save_graph(tmp_path / "n", constant)
    y = named({"x": "x:0"}, {"y": "y:0"})
    assert isinstance(share(folder, y, steady, engine), CompilingGraph)
    with pytest.raises(NotSharedError, match="no signature of its model does"):
        share(folder, named({}, {"n": "changed:0"}), steady, engine)


def refusing() -> Signatures:
    """A counter, and a signature that reads files and counts too."""
    count = tf1.get_variable("count", initializer=0.0, use_resource=True)
    get = tf.identity(count.read_value(), name="get")
    path = tf1.placeholder(tf.string, [], name="path")
    with tf.control_dependencies([count.assign_add(1.0)]):
        content = tf.identity(tf.io.read_file(path), name="content")
    return {"get": ({"path": path}, {"n": get}), "read": ({"path": path}, {"content": content})}


def test_each_graph_is_admitted_by_itself(tmp_path: Path) -> None:
    """One that is refused keeps nobody else from running, and changes nothing."""
    folder, shared = save_graph(tmp_path / "m", refusing), Shared()
    engine: TensorFlowEngine = ENGINE  # type: ignore[assignment]
    get = engine.load(folder, Manifest(SAVED_MODEL, (), GET), shared)
    with pytest.raises(ModelError, match="ReadFile"):
        share(folder, named({"path": "path:0"}, {"c": "content:0"}), shared)
    assert get.is_steady
    assert count(get) == 0


def test_parts_that_differ_do_not_meet(tmp_path: Path) -> None:
    """A fed tensor that stands for an op that is refused here, and for two outputs there."""

    def build() -> Signatures:
        path = tf1.placeholder(tf.string, [], name="path")
        one, two = tf1.py_func(lambda x: (x, x), [path], [tf.float32, tf.float32], name="both")
        first, second = tf.add(one, 1.0, name="first"), tf.add(two, 1.0, name="second")
        return {"a": ({"x": one}, {"y": first}), "b": ({"x": two}, {"y": second})}

    folder, shared = save_graph(tmp_path / "m", build), Shared()
    share(folder, named({"x": "both:0"}, {"y": "first:0"}), shared)
    with pytest.raises(NotSharedError, match="different both"):
        share(folder, named({"x": "both:1"}, {"y": "second:0"}), shared)
