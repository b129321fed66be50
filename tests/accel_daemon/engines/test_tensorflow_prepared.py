"""Small graphs are run in their callers' threads, with or without OpenVINO."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines import compiled_engine, compiled_trial
from accel_daemon.engines.compiled_graph import CompilingGraph
from accel_daemon.engines.engine import compiling
from accel_daemon.engines.tensorflow_prepared import PreparedModel
from accel_protocol.errors import CancelledError
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from tests.accel_daemon.engines.compiled_models import save_network
from tests.accel_daemon.engines.conftest import ENGINE, load
from tests.conftest import eventually

PREPARED = f"{ENGINE.version} prepared"


@pytest.fixture(autouse=True)
def no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """And any speed will do: what is faster is the machine's matter."""
    monkeypatch.setattr(compiled_engine, "installed_version", lambda: None)
    monkeypatch.setattr(compiled_trial, "why_slow", lambda _: None)


def open_graph(folder: Path) -> CompilingGraph:
    """A graph that may be prepared."""
    engine = compiling(ENGINE, lambda _: contextlib.nullcontext(), batches=False)
    assert engine.version == ENGINE.version
    graph = engine.load(folder, Manifest(SAVED_MODEL, (), Selection(signature="serving_default")))
    assert isinstance(graph, CompilingGraph)
    return graph


def feed(rows: int, seed: int = 0) -> dict[str, Any]:
    """A feed of the models here, float32 [rows, 3]."""
    return {"x": np.random.default_rng(seed).normal(size=(rows, 3)).astype("f")}


@pytest.fixture
def small(words_folder: Path) -> Iterator[CompilingGraph]:
    """A linear layer, prepared."""
    graph = open_graph(words_folder)
    for _ in range(2):
        graph.run(feed(2), None)
    eventually(lambda: graph.executed_by.startswith(PREPARED))
    yield graph
    graph.close()


def test_what_is_prepared_answers_as_before(small: CompilingGraph, words_folder: Path) -> None:
    """To the last bit, from several threads."""
    reference, answers = load(words_folder), dict[int, Any]()

    def run(seed: int) -> None:
        answers[seed] = small.run(feed(2, seed), 60)["y"]

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, answer in answers.items():
        np.testing.assert_array_equal(answer, reference.run(feed(2, seed), None)["y"])
    assert len(answers) == 8


def test_a_call_with_little_time_is_not_run_in_its_thread(
    small: CompilingGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, nothing could stop it in time."""

    def fail(*_: Any) -> Any:
        raise AssertionError("this must not be asked")

    monkeypatch.setattr(PreparedModel, "run", fail)
    assert small.run(feed(2), 0.05)["y"].shape == (2, 2)
    assert small.executed_by.startswith(PREPARED)


def test_a_prepared_graph_that_was_closed_answers_no_more(small: CompilingGraph) -> None:
    """Nor do calls that are in it already."""
    ready = next(iter(small._ready.values()))
    small.close()
    with pytest.raises(CancelledError):
        small.run(feed(2), 60)
    with pytest.raises(tf.errors.CancelledError):
        ready.run(feed(2), 60)


def test_what_takes_longer_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could stop it."""
    monkeypatch.setattr(compiled_trial, "_SMALL_SECONDS", 0.0)
    graph = open_graph(save_network(tmp_path / "model"))
    image = {"image": np.zeros((1, 8, 8, 3), np.float32)}
    for _ in range(2):
        graph.run(image, None)
    eventually(lambda: graph.why is not None)
    assert graph.why == "most of its time is computing"
    assert graph.executed_by == ENGINE.version
    graph.close()
