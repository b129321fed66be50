"""Graphs that OpenVINO executes behind TensorFlow, and those that it must not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines import (
    compiled_graph,
    compiled_stand_in,
    compiled_trial,
    openvino_model,
    precisions,
    reduced_precision,
)
from accel_daemon.engines.compiled_engine import CompilingEngine
from accel_daemon.engines.compiled_graph import CompilingGraph
from accel_daemon.engines.compiled_stand_in import Reduced
from accel_daemon.engines.engine import Graph
from accel_protocol.errors import CancelledError, DeadlineError
from accel_protocol.manifest import FROZEN_GRAPH, SAVED_MODEL, BundleFile, Manifest, Selection
from tests.accel_daemon.engines.compiled_models import save_network
from tests.accel_daemon.engines.conftest import ENGINE, Signatures, load, save_graph
from tests.conftest import eventually

pytest.importorskip("openvino", reason="OpenVINO is not installed")
tf1 = tf.compat.v1
MANIFEST = Manifest(SAVED_MODEL, (), Selection(signature="serving_default"))
OTHER = "tensorflow "


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that can be compiled."""
    return save_network(tmp_path_factory.mktemp("network") / "model")


@pytest.fixture(autouse=True)
def any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is faster is the machine's matter, and not that of these tests: OpenVINO always is."""
    monkeypatch.setattr(compiled_trial, "why_slow", lambda _: None)
    monkeypatch.setattr(compiled_trial, "_SMALL_SECONDS", 0.0)
    monkeypatch.setattr(compiled_trial, "_is_enough", lambda trial, _: len(trial.after) > 0)


def images(count: int = 1, size: int = 24, seed: int = 0) -> dict[str, Any]:
    """A feed."""
    return {"image": np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype("f")}


def open_compiling(folder: Path, manifest: Manifest = MANIFEST, **options: Any) -> CompilingGraph:
    """A graph that may be compiled."""
    graph = CompilingEngine(ENGINE, batches=False, **options).load(folder, manifest)
    assert isinstance(graph, CompilingGraph)
    return graph


def call_twice(graph: Graph, feeds: dict[str, Any]) -> None:
    """After which it is compiled."""
    for _ in range(2):
        graph.run(feeds, None)


def compiled(graph: CompilingGraph, feeds: dict[str, Any]) -> None:
    """Wait until it is."""
    call_twice(graph, feeds)
    eventually(lambda: graph.executed_by.startswith("openvino ") or graph.why is not None, 60)
    assert graph.why is None


def assert_close(got: Any, wanted: Any) -> None:
    """Equal up to rounding, and in shape and dtype."""
    assert got.keys() == wanted.keys()
    for alias in wanted:
        assert got[alias].dtype == wanted[alias].dtype
        np.testing.assert_allclose(got[alias], wanted[alias], 1e-4, 1e-5)


def test_what_is_compiled_answers_as_before(network: Path) -> None:
    """Also to feeds that it was not tried with, read-only ones, and from several threads."""
    graph, reference = open_compiling(network), load(network)
    compiled(graph, images())
    feeds = [images(seed=seed) for seed in range(1, 9)]
    for one in feeds:
        one["image"].flags.writeable = False
    answers: dict[int, Any] = {}

    def run(index: int) -> None:
        answers[index] = graph.run(feeds[index], 60)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(feeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, feed in enumerate(feeds):
        assert_close(answers[index], reference.run(feed, None))
    assert graph.executed_by.startswith("openvino ")
    graph.close()


def test_other_shapes_are_tensorflow_s_until_they_come_back(network: Path) -> None:
    """Then each is compiled, up to a bound."""
    graph, reference = open_compiling(network), load(network)
    compiled(graph, images())
    for size in (8, 12, 16, 20):
        call_twice(graph, images(size=size))
    eventually(lambda: len(graph._ready) == compiled_graph.MOST_SHAPES, 60)
    for size in (24, 8, 12, 16, 20):
        assert_close(graph.run(images(size=size), None), reference.run(images(size=size), None))
    assert len(graph._ready) == compiled_graph.MOST_SHAPES
    graph.close()


def test_a_frozen_graph_by_names_is_compiled(tmp_path: Path) -> None:
    """With a feed in the middle, and a fetch that is fed."""
    with tf.Graph().as_default() as made:
        x = tf1.placeholder(tf.uint8, [None, 4], name="x")
        middle = tf.multiply(tf.cast(x, tf.float32), 2.0, name="middle")
        tf.nn.softmax(middle @ tf.reshape(tf.range(12.0), (4, 3)) / 99, name="y")
    (tmp_path / "graph.pb").write_bytes(made.as_graph_def().SerializeToString())
    selection = Selection(feeds={"m": "middle:0"}, fetches={"m": "middle:0", "y": "y:0"})
    manifest = Manifest(FROZEN_GRAPH, (BundleFile("graph.pb", 1, "0" * 64),), selection)
    graph = open_compiling(tmp_path, manifest)
    feed = {"m": np.array([[1, 2, 3, 4]], np.float32)}
    wanted = graph.run(feed, None)
    compiled(graph, feed)
    assert_close(graph.run(feed, None), wanted)
    graph.close()


def signatures() -> Signatures:
    """Graphs that stay with TensorFlow."""
    x = tf1.placeholder(tf.float32, [2], name="x")
    text = tf1.placeholder(tf.string, [2], name="text")
    count = tf1.get_variable("count", initializer=0.0, use_resource=True)
    keys = tf.constant([1.0, 2.0])
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
    with tf.control_dependencies([tf1.assert_greater(x, 0.0)]):
        checked = tf.identity(x * 2.0)
    return {
        "text": ({"x": text}, {"y": tf.strings.upper(text)}),
        "counter": ({"x": x}, {"y": tf.identity(count.assign_add(tf.reduce_sum(x)).read_value())}),
        "table": ({"x": x}, {"y": table.lookup(tf.cast(x, tf.int64))}),
        "checked": ({"x": x}, {"y": checked}),
        "random": ({"x": x}, {"y": x + tf.random.uniform([2])}),
        "branch": ({"x": x}, {"y": tf.cond(x[0] > 0, lambda: x, lambda: -x)}),
        "index": ({"x": x}, {"y": tf.gather(keys, tf.cast(x, tf.int32))}),
    }


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of them."""
    return save_graph(tmp_path_factory.mktemp("others") / "model", signatures)


@pytest.mark.parametrize(
    "key", ["text", "counter", "table", "checked", "random", "branch", "index"]
)
def test_what_could_differ_stays_with_tensorflow(others: Path, key: str) -> None:
    """It is left alone, or given up with a reason."""
    engine = CompilingEngine(ENGINE, batches=False)
    graph = engine.load(others, Manifest(SAVED_MODEL, (), Selection(signature=key)))
    if isinstance(graph, CompilingGraph) and graph._makers:
        call_twice(graph, {"x": np.ones(2, np.float32)})
        eventually(lambda: graph.why is not None, 60)
    assert graph.executed_by.startswith(OTHER)
    graph.close()


def test_an_op_that_is_not_known_leaves_a_network_to_tensorflow(tmp_path: Path) -> None:
    """And it answers."""
    graph = open_compiling(save_network(tmp_path / "model", fails=True))
    call_twice(graph, images())
    eventually(lambda: graph.why is not None, 60)
    assert graph.why == "Betainc is not compiled"
    assert graph.run(images(), None)["scores"].shape == (1, 10)
    assert graph.executed_by.startswith(OTHER)
    graph.close()


def test_wrong_answers_are_found_by_the_trial(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's answer is the right one."""
    right = openvino_model.OpenVinoModel.run

    def wrong(self: Any, *arguments: Any) -> Any:
        return [one * 1.001 if one.dtype.kind == "f" else one for one in right(self, *arguments)]

    monkeypatch.setattr(openvino_model.OpenVinoModel, "run", wrong)
    graph = open_compiling(network)
    call_twice(graph, images())
    eventually(lambda: graph.why is not None, 60)
    assert graph.why == "scores differs by more than rounding"
    graph.close()


def test_after_an_error_tensorflow_answers_for_good(
    network: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """That call too, and it is seen."""
    graph, reference = open_compiling(network), load(network)
    compiled(graph, images())

    def fail(self: Any, *_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(openvino_model.OpenVinoModel, "run", fail)
    assert_close(graph.run(images(), None), reference.run(images(), None))
    assert "(compiled, it failed)" in graph.executed_by
    assert "it failed: RuntimeError" in caplog.text
    monkeypatch.undo()
    call_twice(graph, images())
    assert graph.executed_by.startswith(OTHER)
    graph.close()


def test_a_slow_one_is_tried_again(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After more calls; the processors may have been somebody else's."""
    monkeypatch.setattr(compiled_graph, "_TRIED_AT", (2, 4))
    reasons = iter(["slow", None])
    tried: list[str | None] = []

    def why_slow(_: Any) -> str | None:
        tried.append(next(reasons))
        return tried[-1]

    monkeypatch.setattr(compiled_trial, "why_slow", why_slow)
    graph = open_compiling(network)
    call_twice(graph, images())
    eventually(lambda: tried == ["slow"], 60)
    assert graph.executed_by.startswith(OTHER)
    call_twice(graph, images())
    eventually(lambda: graph.executed_by.startswith("openvino "), 60)
    graph.close()


@pytest.fixture
def slow(network: Path) -> Iterator[CompilingGraph]:
    """A compiled network and a feed that keep the processors busy for long."""
    graph = open_compiling(network)
    compiled(graph, images(8, 96))
    yield graph
    graph.close()


def test_a_deadline_stops_a_compiled_run(slow: CompilingGraph) -> None:
    """And the next run is answered."""
    with pytest.raises(DeadlineError):
        slow.run(images(8, 96), 0.02)
    assert slow.run(images(8, 96), 60)["scores"].shape == (8, 10)
    assert slow.executed_by.startswith("openvino ")


def test_closing_stops_a_compiled_run(slow: CompilingGraph) -> None:
    """That is how a cancelled call ends."""
    caught: list[Exception] = []
    ((_, ready),) = slow._ready.items()

    def run() -> None:
        try:
            slow.run(images(8, 96), 60)
        except CancelledError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not ready.model._alarms:
        assert thread.is_alive()
    slow.close()
    thread.join(60)
    assert len(caught) == 1


def test_what_is_compiled_too_late_is_thrown_away(network: Path) -> None:
    """It was closed between the trial and taking over."""
    graph = open_compiling(network)
    compiled(graph, images())
    ((shapes, ready),) = graph._ready.items()
    graph.close()
    graph._keep(shapes, ready)
    assert not graph._ready


def test_unloading_while_it_is_compiled(network: Path) -> None:
    """What comes out is thrown away."""
    inside, go_on = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def watched(_: bytes) -> Iterator[None]:
        inside.set()
        go_on.wait(60)
        yield

    graph = CompilingEngine(ENGINE, watched, batches=False).load(network, MANIFEST)
    assert isinstance(graph, CompilingGraph)
    call_twice(graph, images())
    assert inside.wait(60)
    graph.close()
    go_on.set()
    eventually(lambda: not any(t.name == "compile" for t in threading.enumerate()), 60)
    assert not graph._ready


def test_a_graph_may_be_kept_from_it(network: Path) -> None:
    """By its id."""
    graph = CompilingEngine(ENGINE, uncompiled=frozenset([MANIFEST.graph_id()])).load(
        network, MANIFEST
    )
    assert not isinstance(graph, CompilingGraph)
    graph.close()


def test_a_deadline_holds_for_those_who_wait_for_another_run(slow: CompilingGraph) -> None:
    """Runs of one graph take turns; whose time is over while it waits is not run."""
    ((_, ready),) = slow._ready.items()
    thread = threading.Thread(target=slow.run, args=(images(8, 96), 60))
    request = ready.model._requests.get()
    thread.start()
    with pytest.raises(DeadlineError):
        slow.run(images(8, 96), 0.02)
    ready.model._requests.put(request)
    thread.join(60)
    assert slow.executed_by.startswith("openvino ")


def rounded(monkeypatch: pytest.MonkeyPatch, scale: float = 1.0) -> None:
    """A processor with 16-bit floats: networks whose weights are rounded to bf16, and scaled."""

    def make(frozen: Any, fetches: int, precision: str = "f32") -> Any:
        for node in frozen.node if precision == "bf16" else ():
            value = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None
            if value is not None and value.dtype == np.float32:
                less = (value * scale).astype(ml_dtypes.bfloat16).astype(np.float32)
                node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(less))
        return openvino_model.OpenVinoModel(frozen, fetches)

    monkeypatch.setattr(compiled_stand_in, "OpenVinoModel", make)


def reduced(network: Path) -> CompilingGraph:
    """A graph that may be computed in bf16, when it is settled how."""
    graph = open_compiling(network, precision="bf16")
    call_twice(graph, images())
    eventually(lambda: "bf16" in graph.executed_by, 60)
    return graph


def test_fewer_bits_are_used_on_request_and_their_error_is_shown(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the one that a caller finds, who knows what TensorFlow answers."""
    rounded(monkeypatch)
    graph, reference = reduced(network), load(network)
    wanted, got = reference.run(images(), None), graph.run(images(), None)
    (ready,) = graph._ready.values()
    error = reduced_precision.error_of(wanted, got)
    assert ready.error is not None
    assert 0 < error.relative <= ready.error.relative < 0.05
    version = openvino_model.installed_version()
    assert graph.executed_by.startswith(f"{version} in bf16 (")
    assert graph.executed_by.endswith(f" x; {ready.error})")
    graph.close()


def test_what_would_be_another_answer_is_computed_in_32_bits(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And shown to be."""
    rounded(monkeypatch, scale=1.5)
    graph, reference = reduced(network), load(network)
    version = openvino_model.installed_version()
    assert graph.executed_by.startswith(f"{version} (")
    assert "x), not bf16: its error " in graph.executed_by
    assert_close(graph.run(images(), None), reference.run(images(), None))
    graph.close()


def test_a_processor_without_16_bit_floats_computes_in_32(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is shown; OpenVINO would compute in 32 bits and not say so."""
    monkeypatch.setattr(openvino_model, "_has", lambda *_: False)
    graph = reduced(network)
    assert graph.executed_by.startswith("openvino ")
    assert graph.executed_by.endswith(" x), not bf16: this processor does not compute in bf16")
    graph.close()


def test_nobody_gets_fewer_bits_unasked() -> None:
    """Nothing that makes them is there."""
    engines = {p: CompilingEngine(ENGINE, precision=p) for p in precisions.PRECISIONS}
    makers = {p: [m for m in e._makers if isinstance(m, Reduced)] for p, e in engines.items()}
    assert makers == {"f32": [], "bf16": [Reduced("bf16")], "f16": [Reduced("f16")]}


@pytest.mark.parametrize(("quick", "name"), [(60.0, OTHER), (0.0, "openvino ")])
def test_what_takes_next_to_no_time_is_prepared_and_not_compiled(
    network: Path, monkeypatch: pytest.MonkeyPatch, quick: float, name: str
) -> None:
    """Compiling would take longer than it saves."""
    monkeypatch.setattr(compiled_trial, "_SMALL_SECONDS", 60.0)
    monkeypatch.setattr(compiled_graph, "_QUICK_SECONDS", quick)
    graph = open_compiling(network)
    call_twice(graph, images())
    eventually(lambda: graph._settled, 60)
    names = [one.name for one in graph._ready.values()]
    assert [one.startswith(name) for one in names] == [True]
    graph.close()


def test_where_memory_is_short_it_is_compiled_later(
    network: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Four times the size of its files is needed, for a moment."""
    caplog.set_level("INFO")
    monkeypatch.setattr(compiled_graph, "_TRIED_AT", (2, 4))
    room = [3_999]
    manifest = Manifest(SAVED_MODEL, (BundleFile("x", 1_000, "0" * 64),), MANIFEST.selection)
    graph = open_compiling(network, manifest, room=lambda: room[0])
    call_twice(graph, images())
    eventually(lambda: "there is no memory for it" in caplog.text and graph._settled, 60)
    assert graph.executed_by.startswith(OTHER)
    room[0] = 4_000
    call_twice(graph, images())
    eventually(lambda: graph.executed_by.startswith("openvino "), 60)
    graph.close()
