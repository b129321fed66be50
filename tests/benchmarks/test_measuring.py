"""Turns of contestants that answer, and of those that do not; processes that do what they are told.

The stand-ins here are processes as contestants are; what they measure is a clock.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.measuring import take_turns
from benchmarks.processes import Worker, WorkerError

STAND_IN = "tests.benchmarks.stand_in:StandIn"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where workers write."""
    return tmp_path / "log"


def test_warm_up_does_not_count() -> None:
    """The first turn of each is not among its values, and is told apart by its number."""
    turns: list[int] = []

    def turn(number: int) -> list[float]:
        turns.append(number)
        return [float(len(turns))]

    group = take_turns("s", {"a": turn}, 3)

    assert turns == [-1, 0, 1, 2]
    assert group.measured == {"a": [[2.0], [3.0], [4.0]]}


def test_contestant_that_fails_later_is_absent_and_the_others_go_on() -> None:
    """Half a measurement is none, and the reason is kept."""

    def failing(number: int) -> list[float]:
        if number == 1:
            raise WorkerError("it broke")
        return [1.0]

    group = take_turns("s", {"a": failing, "b": lambda _: [2.0]}, 3)

    assert group.absent == {"a": "it broke"}
    assert group.measured == {"b": [[2.0]] * 3}


def test_worker_times_each_call(log: Path) -> None:
    """One value for each call, of the call alone: what made the caller is not in it."""
    with Worker(STAND_IN, {"seconds": 0.01}, log) as worker:
        taken = worker.tell("calls", work="w", way="", count=4)

    assert len(taken) == 4
    assert all(one >= 0.01 for one in taken)


def test_load_lets_clients_call_at_one_time(log: Path) -> None:
    """Four clients of calls that wait make more calls than one could."""
    with Worker(STAND_IN, {"seconds": 0.05}, log) as worker:
        rate = worker.tell("load", work="w", way="", clients=4, seconds=1.0)

    assert rate > 1 / 0.05


def test_failure_is_told_and_the_worker_goes_on(log: Path) -> None:
    """An error of a call is the order's answer; what the libraries print is none."""
    with Worker(STAND_IN, {"seconds": 0.0}, log) as worker:
        with pytest.raises(WorkerError, match="ValueError: no such work"):
            worker.tell("calls", work="unknown", way="", count=1)

        assert len(worker.tell("calls", work="w", way="", count=1)) == 1
    assert "said by a library" in log.read_text()


def test_worker_that_hangs_is_ended(log: Path) -> None:
    """An order has a bound; after it the contestant is gone and says so at once."""
    with Worker(STAND_IN, {"seconds": 600.0}, log) as worker:
        with pytest.raises(WorkerError, match="ended"):
            worker.tell("calls", within=2.0, work="w", way="", count=1)
        started = time.monotonic()
        with pytest.raises(WorkerError, match="ended"):
            worker.tell("calls", work="w", way="", count=1)

    assert time.monotonic() - started < 1.0
