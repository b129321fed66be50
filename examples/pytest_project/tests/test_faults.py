"""What the program does when its accelerator fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from digit_counter import CannotCountError, DigitCounter

EMPTY_PAGE = np.full((128, 128, 3), 255, np.uint8)


@pytest.fixture
def counter(aws_environment: Any) -> Iterator[DigitCounter]:
    """The program, with a connection that works so far and little patience."""
    with DigitCounter(patience=1.5) as counter:
        counter.count(EMPTY_PAGE)
        yield counter


@pytest.mark.parametrize("when", ["before", "after"])
def test_cut_connections(accelerator: Any, counter: DigitCounter, when: str) -> None:
    """Two lost answers in a row, and the page is counted all the same."""
    with accelerator.inject_fault("drop", count=2, when=when):
        assert counter.count(EMPTY_PAGE) == 0


def test_every_other_connection(accelerator: Any, counter: DigitCounter) -> None:
    """By chance, but by the same chance each time that this test runs."""
    with accelerator.inject_fault("drop", probability=0.5, seed=7):
        assert [counter.count(EMPTY_PAGE) for _ in range(5)] == [0] * 5


def test_an_accelerator_that_is_gone(accelerator: Any, counter: DigitCounter) -> None:
    """The user is told so; when it is back, the same program goes on."""
    with (
        accelerator.inject_fault("unavailable"),
        pytest.raises(CannotCountError, match=r"please come back later: .*unavailable"),
    ):
        counter.count(EMPTY_PAGE)
    assert counter.count(EMPTY_PAGE) == 0


def test_expired_credentials(accelerator: Any, counter: DigitCounter) -> None:
    """The client gets itself another ticket, and the program sees nothing of it."""
    with accelerator.inject_fault("expired-credentials", count=1):
        assert counter.count(EMPTY_PAGE) == 0


def test_a_slow_network(accelerator_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon of the test's own, slow from the beginning; faults and policy come with it."""
    daemon = accelerator_factory(type="eia1.medium", faults=["slow:latency_ms=300"])
    for name, value in daemon.environment.items():
        monkeypatch.setenv(name, value)
    with DigitCounter() as counter:
        started = time.monotonic()
        assert counter.count(EMPTY_PAGE) == 0
        assert time.monotonic() - started > 0.6
