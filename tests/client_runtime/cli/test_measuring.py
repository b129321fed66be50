"""Measuring in turns."""

from __future__ import annotations

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.cli.measuring import block_sizes, measure
from client_runtime.transport.exchange import CallTiming

TIMING = CallTiming(1, 0, 1, 0, 0, 0, 0)


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_blocks_hold_all_runs(runs: int, concurrency: int) -> None:
    """At most five, none empty, almost equal, and each long enough to be concurrent."""
    sizes = block_sizes(runs, concurrency)

    assert sum(sizes) == runs
    assert 1 <= len(sizes) <= 5
    assert 0 < min(sizes) <= max(sizes) <= min(sizes) + 1
    assert len(sizes) == 1 or min(sizes) >= 2 * concurrency


def test_sides_take_turns() -> None:
    """After each one's warm-up, block by block, first one and then the other in front."""
    calls: list[str] = []

    def remote() -> CallTiming:
        calls.append("r")
        return TIMING

    measured = measure({"remote": remote, "local": lambda: calls.append("l")}, 10, 1, 1)

    assert "".join(calls) == "rl" + "rrllllrr" + "rrllllrr" + "rrll"
    assert len(measured["remote"].seconds) == len(measured["remote"].timings) == 10
    assert (len(measured["local"].seconds), measured["local"].timings) == (10, [])
    assert measured["remote"].wall > 0


def test_calls_at_one_time() -> None:
    """So many calls are under way at once: each waits until the others are there."""
    together = threading.Barrier(3, timeout=10)

    def call() -> None:
        together.wait()

    assert len(measure({"only": call}, 9, 0, 3)["only"].seconds) == 9


def test_a_failing_call_ends_it() -> None:
    """The error of a call arrives, and no further blocks are run."""
    numbers = itertools.count()

    def call() -> None:
        if next(numbers) == 3:
            raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        measure({"only": call}, 100, 0, 1)
    assert next(numbers) < 25
