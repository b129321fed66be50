"""Frozen graphs: any tensors by name, and only what the fetches need has to be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines import tensorflow_cut
from accel_daemon.engines.engine import Graph, open_engine
from accel_protocol.errors import GraphError, ModelError
from accel_protocol.manifest import FROZEN_GRAPH, BundleFile, Manifest, Selection

tf1 = tf.compat.v1
ENGINE = open_engine("tensorflow")
FILE = BundleFile("graph.pb", 0, "0" * 64)
X = np.array([[1.0, 2.0, 3.0]], np.float32)


def graph_of(build: Callable[[], Any]) -> Any:
    """The GraphDef of what `build` makes."""
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def()


def numbers() -> None:
    """Two placeholders, one with a default, and steps in between."""
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    factor = tf1.placeholder_with_default(2.0, [], name="factor")
    scaled = tf.multiply(x, factor, name="scaled")
    tf.reduce_sum(scaled, name="total")
    tf.split(x, 3, axis=1, name="parts")
    with tf.device("/job:worker/task:7/device:GPU:3"):
        tf.add(scaled, 1.0, name="moved")


def load(
    folder: Path, graph_def: Any, feeds: Mapping[str, str], fetches: Mapping[str, str]
) -> Graph:
    """Load a graph with these tensors."""
    (folder / "graph.pb").write_bytes(graph_def.SerializeToString())
    selection = Selection((), feeds=feeds, fetches=fetches)
    return ENGINE.load(folder, Manifest(FROZEN_GRAPH, (FILE,), selection))


def with_unknown_op(graph_def: Any, name: str, op: str = "NoSuchOp") -> Any:
    """The same graph in which a node has an op that no TensorFlow knows."""
    for node in graph_def.node:
        if node.name == name:
            node.op = op
    return graph_def


def test_named_tensors_are_computed(tmp_path: Path) -> None:
    """Feeds and fetches by alias; a placeholder with a default need not be fed."""
    graph = load(
        tmp_path,
        graph_of(numbers),
        {"x": "x:0", "f": "factor:0"},
        {"t": "total:0", "s": "scaled:0"},
    )
    assert graph.run({"x": X}, None)["t"] == 12.0
    assert graph.run({"x": X, "f": np.float32(3)[()]}, None)["t"] == 18.0
    assert graph.repeatable
    assert graph.feeds["x"].shape == (-1, 3)


def test_an_inner_tensor_cuts_the_graph(tmp_path: Path) -> None:
    """What is fed is not computed, and its declared shape does not matter."""
    graph = load(tmp_path, graph_of(numbers), {"s": "scaled:0"}, {"t": "total:0"})
    assert graph.run({"s": np.ones((5, 5), np.float64)}, None)["t"] == 25.0


def test_devices_of_the_maker_do_not_matter(tmp_path: Path) -> None:
    """A graph may name machines that are not here."""
    graph = load(tmp_path, graph_of(numbers), {"x": "x:0"}, {"m": "moved:0"})
    np.testing.assert_array_equal(graph.run({"x": X}, None)["m"], X * 2 + 1)


def test_an_unknown_op_that_no_fetch_needs_does_not_matter(tmp_path: Path) -> None:
    """Only what the fetches reach is looked at."""
    graph_def = with_unknown_op(graph_of(numbers), "moved")
    graph = load(tmp_path, graph_def, {"x": "x:0"}, {"t": "total:0"})
    assert graph.run({"x": X}, None)["t"] == 12.0


@pytest.mark.parametrize("unknown", ["x", "scaled"])
def test_an_unknown_op_behind_a_feed_does_not_matter(tmp_path: Path, unknown: str) -> None:
    """It is cut away, also when it is the fed node itself."""
    graph_def = with_unknown_op(graph_of(numbers), unknown)
    graph = load(tmp_path, graph_def, {"s": "scaled:0"}, {"t": "total:0"})
    assert graph.run({"s": X}, None)["t"] == 6.0


def test_several_outputs_of_an_unknown_op_can_be_fed(tmp_path: Path) -> None:
    """Each with the dtype that those expect who take it."""

    def build() -> None:
        x = tf1.placeholder(tf.float32, [4], name="x")
        values, indexes = tf.raw_ops.TopKV2(input=x, k=tf.constant(2), name="decode")
        tf.add(values, tf.cast(indexes, tf.float32), name="y")

    graph_def = with_unknown_op(graph_of(build), "decode")
    graph = load(tmp_path, graph_def, {"v": "decode:0", "i": "decode:1"}, {"y": "y:0"})
    answer = graph.run({"v": np.float32([1, 2]), "i": np.int32([10, 20])}, None)
    assert answer["y"].tolist() == [11.0, 22.0]


def test_an_unknown_op_that_is_needed_is_named(tmp_path: Path) -> None:
    """The error says what this TensorFlow lacks."""
    graph_def = with_unknown_op(graph_of(numbers), "scaled")
    with pytest.raises(ModelError, match="has no op NoSuchOp"):
        load(tmp_path, graph_def, {"x": "x:0"}, {"t": "total:0"})


def test_an_unknown_op_with_an_output_that_is_not_fed_is_needed(tmp_path: Path) -> None:
    """Feeding one output does not give the others."""

    def build() -> None:
        x = tf1.placeholder(tf.float32, [4], name="x")
        first, second = tf.split(x, 2, name="parts")
        tf.add(first, second, name="y")

    graph_def = with_unknown_op(graph_of(build), "parts")
    with pytest.raises(ModelError, match="has no op NoSuchOp"):
        load(tmp_path, graph_def, {"first": "parts:0"}, {"y": "y:0"})


def calling() -> None:
    """A graph that calls two functions, one through the other, and has a third."""

    @tf.function
    def inner(x: Any) -> Any:
        return x + 1.0

    @tf.function
    def outer(x: Any) -> Any:
        return inner(x) * 2.0

    @tf.function
    def other(x: Any) -> Any:
        return tf.exp(x)

    x = tf1.placeholder(tf.float32, [None], name="x")
    tf.identity(outer(x), name="y")
    tf.identity(other(x), name="z")


def test_functions_are_kept_where_they_are_called(tmp_path: Path) -> None:
    """Those behind the fetches, and no others."""
    graph_def = graph_of(calling)
    part = tensorflow_cut.cut(graph_def, ["x:0"], ["y:0"], lambda _: True)
    kept = {function.signature.name for function in part.library.function}
    assert any("outer" in name for name in kept)
    assert any("inner" in name for name in kept)
    assert not any("other" in name for name in kept)
    graph = load(tmp_path, graph_def, {"x": "x:0"}, {"y": "y:0"})
    assert graph.run({"x": np.float32([1])}, None)["y"].tolist() == [4.0]


def test_an_unknown_op_inside_a_function_counts(tmp_path: Path) -> None:
    """A call is as usable as what is called."""
    graph_def = graph_of(calling)
    for function in graph_def.library.function:
        for node in function.node_def:
            node.op = "NoSuchOp" if node.op == "Exp" else node.op
    assert load(tmp_path, graph_def, {"x": "x:0"}, {"y": "y:0"})
    with pytest.raises(ModelError, match="NoSuchOp"):
        load(tmp_path, graph_def, {"x": "x:0"}, {"z": "z:0"})


def test_ops_that_are_not_allowed_are_cut_the_same_way() -> None:
    """What may be used is the caller's to say."""

    def build() -> None:
        data = tf.io.read_file(tf1.placeholder(tf.string, [], name="file"))
        image = tf.identity(tf.io.decode_raw(data, tf.uint8), name="image")
        tf.reduce_sum(tf.cast(image, tf.int32), name="y")

    graph_def = graph_of(build)

    def usable(node: Any) -> bool:
        return bool(node.op != "ReadFile")

    part = tensorflow_cut.cut(graph_def, ["image:0"], ["y:0"], usable)
    assert {node.op for node in part.node} == {"Placeholder", "Cast", "Const", "Sum"}
    with pytest.raises(tensorflow_cut.UnusableOpError, match="ReadFile"):
        tensorflow_cut.cut(graph_def, ["file:0"], ["y:0"], usable)


def test_colocation_with_what_was_left_out_is_forgotten(tmp_path: Path) -> None:
    """A frozen graph often asks to be where variables were that it has no more."""
    graph_def = graph_of(numbers)
    for node in graph_def.node:
        node.attr["_class"].list.s.append(b"loc:@moved")
    graph = load(tmp_path, graph_def, {"x": "x:0"}, {"t": "total:0"})
    assert graph.run({"x": X}, None)["t"] == 12.0


def test_a_missing_feed_fails_the_graph(tmp_path: Path) -> None:
    """It is the graph's own error."""
    graph = load(tmp_path, graph_of(numbers), {"x": "x:0"}, {"t": "total:0"})
    with pytest.raises(GraphError):
        graph.run({}, None)


@pytest.mark.parametrize(
    ("feeds", "fetches"),
    [
        ({"x": "x:0"}, {"y": "absent:0"}),
        ({"x": "absent:0"}, {"y": "total:0"}),
        ({"x": "x:7"}, {"y": "total:0"}),
        ({"x": "x"}, {"y": "total:0"}),
        ({"x": "x:0"}, {"y": "total:99999999999999999999"}),
        ({"x": "x:0"}, {}),
    ],
)
def test_tensors_that_are_not_there_are_refused(
    tmp_path: Path, feeds: dict[str, str], fetches: dict[str, str]
) -> None:
    """When loading, and not at the first call."""
    with pytest.raises(ModelError):
        load(tmp_path, graph_of(numbers), feeds, fetches)


@pytest.mark.parametrize("index", [4097, 10**12, 10**30])
def test_outputs_that_a_file_merely_claims_cost_nothing(tmp_path: Path, index: int) -> None:
    """A node may say that it has any number of outputs."""
    graph_def = with_unknown_op(graph_of(numbers), "x")
    for node in graph_def.node:
        if node.name == "parts":
            node.attr["num_split"].i = 10**12
    with pytest.raises(ModelError):
        load(tmp_path, graph_def, {"p": f"parts:{index}"}, {"y": f"parts:{index}"})


def test_a_signature_is_refused(tmp_path: Path) -> None:
    """A graph has none."""
    (tmp_path / "graph.pb").write_bytes(graph_of(numbers).SerializeToString())
    selection = Selection((), signature="serving_default")
    with pytest.raises(ModelError, match="no signatures"):
        ENGINE.load(tmp_path, Manifest(FROZEN_GRAPH, (FILE,), selection))


@pytest.mark.parametrize("files", [(), (BundleFile("x.pb", 0, "0" * 64),), (FILE, FILE)])
def test_a_bundle_is_one_file(tmp_path: Path, files: tuple[BundleFile, ...]) -> None:
    """With the one name that both sides know."""
    (tmp_path / "graph.pb").write_bytes(graph_of(numbers).SerializeToString())
    selection = Selection((), feeds={"x": "x:0"}, fetches={"y": "total:0"})
    with pytest.raises(ModelError, match=r"one file called graph\.pb"):
        ENGINE.load(tmp_path, Manifest(FROZEN_GRAPH, files, selection))


@pytest.mark.parametrize("content", [b"", b"noise", b"\x0a\xff\xff\xff\xff"])
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Without a path of this host in the text."""
    (tmp_path / "graph.pb").write_bytes(content)
    selection = Selection((), feeds={"x": "x:0"}, fetches={"y": "y:0"})
    with pytest.raises(ModelError) as caught:
        ENGINE.load(tmp_path, Manifest(FROZEN_GRAPH, (FILE,), selection))
    assert str(tmp_path) not in str(caught.value)


def test_loading_leaves_the_caller_s_graph_alone(tmp_path: Path) -> None:
    """The part is a graph of its own, and what was given is not changed."""
    graph_def = graph_of(numbers)
    before = graph_def.SerializeToString(deterministic=True)
    tensorflow_cut.cut(graph_def, ["scaled:0"], ["total:0"], lambda _: True)
    assert graph_def.SerializeToString(deterministic=True) == before
