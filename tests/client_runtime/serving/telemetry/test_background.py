"""What a background thread takes."""

from __future__ import annotations

import threading

from client_runtime.serving.telemetry.background import Background
from tests.conftest import eventually, patience


def test_it_takes_as_much_as_it_works_on() -> None:
    """A bound is on what is held, not on what ever came; nothing is lost or turned around."""
    worked: list[int] = []
    background = Background(worked.extend, name="test", max_items=2, max_bytes=10)
    for number in range(20):
        eventually(lambda number=number: background.put(number, 10))
    assert background.close(patience(60))
    assert worked == list(range(20))


def test_what_is_being_worked_on_is_held() -> None:
    """Its bytes are taken until it is done."""
    let_go = threading.Event()
    background = Background(lambda _: let_go.wait(), name="test", max_items=9, max_bytes=10)
    assert background.put(1, 6)
    assert not background.put(2, 6)
    assert background.put(3, 4)
    assert not background.close(0.0)
    let_go.set()
    assert background.close(patience(60))


def test_a_closed_one_takes_nothing() -> None:
    """Also where it never began."""
    background: Background[int] = Background(lambda _: None, name="test", max_items=9)
    assert background.close(0.0)
    assert not background.put(1)
