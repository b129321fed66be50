"""Calls that TensorFlow answers together, once it is proven and tried."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_daemon.engines import batching, batching_graph, compiled_trial
from accel_daemon.engines.batching_graph import BatchingGraph
from accel_daemon.engines.compiled_engine import CompilingEngine
from accel_daemon.engines.compiled_graph import CompilingGraph
from accel_protocol.errors import CancelledError
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from tests.accel_daemon.engines.conftest import ENGINE, load
from tests.conftest import eventually

CALLERS = 12


@pytest.fixture(autouse=True)
def a_small_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    """And any speed will do: what pays is the machine's matter."""
    monkeypatch.setattr(batching, "CROWD", 4)
    monkeypatch.setattr(batching_graph, "MOST_SECONDS", 60.0)
    monkeypatch.setattr(batching_graph, "why_slow", lambda _: None)
    monkeypatch.setattr(compiled_trial, "_is_enough", lambda trial, _: len(trial.after) > 0)


def open_graph(folder: Path, key: str = "serving_default") -> BatchingGraph:
    """A graph whose calls may be answered together; it is not compiled."""
    engine = CompilingEngine(ENGINE, compiles=False)
    graph = engine.load(folder, Manifest(SAVED_MODEL, (), Selection(signature=key)))
    assert isinstance(graph, BatchingGraph)
    return graph


def feed(seed: int = 0) -> dict[str, Any]:
    """A row, float32 [1, 3]."""
    return {"x": np.random.default_rng(seed).normal(size=(1, 3)).astype("f")}


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """As many as there are callers."""
    with ThreadPoolExecutor(CALLERS) as executor:
        yield executor


def call_until(holds: Any, graph: BatchingGraph, threads: ThreadPoolExecutor) -> None:
    """Let all call until something holds."""

    def tried() -> Any:
        list(threads.map(lambda seed: graph.run(feed(seed), 60), range(8 * CALLERS)))
        return holds()

    eventually(tried, 60)


def test_calls_of_a_crowd_are_answered_together(
    words_folder: Path, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as it was by itself, and that can be seen."""
    graph, reference = open_graph(words_folder), load(words_folder)
    call_until(lambda: "up to 8 calls together" in graph.executed_by, graph, threads)
    sizes: list[int] = []
    run = CompilingGraph.run

    def spied(self: CompilingGraph, feeds: Any, timeout: float | None) -> dict[str, Any]:
        sizes.append(len(feeds["x"]))
        return run(self, feeds, timeout)

    monkeypatch.setattr(CompilingGraph, "run", spied)
    count = 40 * CALLERS
    answers = list(threads.map(lambda seed: graph.run(feed(seed), 60), range(count)))
    for seed, answer in enumerate(answers):
        np.testing.assert_allclose(answer["y"], reference.run(feed(seed), None)["y"], 1e-5, 1e-6)
    assert max(sizes) > 1
    assert sum(sizes) == count
    graph.close()
    with pytest.raises(CancelledError):
        graph.run(feed(), 60)


def test_rows_that_depend_on_each_other_are_left_alone(
    numbers_folder: Path, threads: ThreadPoolExecutor
) -> None:
    """Whatever a trial would show."""
    graph = open_graph(numbers_folder)
    call_until(lambda: graph.why is not None, graph, threads)
    assert graph.why == "the first size of a feed or fetch is fixed"
    assert graph.executed_by == ENGINE.version
    graph.close()


@pytest.mark.parametrize("reason", ["slow", "late", "different"])
def test_what_does_not_pay_or_is_not_right_is_not_done(
    words_folder: Path,
    threads: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: str,
) -> None:
    """It is tried, and that is all."""
    if reason == "slow":
        monkeypatch.setattr(batching_graph, "why_slow", lambda _: "slow")
    elif reason == "late":
        monkeypatch.setattr(batching_graph, "MOST_SECONDS", 0.0)
    else:
        monkeypatch.setattr(batching_graph, "why_different", lambda *_: "y differs")
    caplog.set_level("INFO", batching_graph.__name__)
    graph = open_graph(words_folder)
    call_until(lambda: "not answered together" in caplog.text, graph, threads)
    assert graph.executed_by == ENGINE.version
    graph.close()


def test_a_graph_that_is_unloaded_while_it_is_tried(
    words_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left behind."""
    inside, go_on = threading.Event(), threading.Event()

    def settle(*_: Any) -> None:
        inside.set()
        go_on.wait(60)

    monkeypatch.setattr(BatchingGraph, "_settle", settle)
    graph = open_graph(words_folder)
    queue = graph._queues.of(feed())
    assert queue is not None
    graph._start(queue, feed())
    assert inside.wait(60)
    graph.close()
    go_on.set()
    eventually(lambda: not any(t.name == "batch" for t in threading.enumerate()), 60)
    assert not queue.sizes
