"""Work that takes too long is stopped by one thread beside it."""

from __future__ import annotations

import math
import threading
import time

from accel_daemon.engines.alarms import Alarms
from tests.conftest import eventually


def test_an_alarm_rings_until_it_is_cleared() -> None:
    """Work that had not begun the first time is stopped the next."""
    alarms, rung = Alarms(), list[float]()
    began = time.monotonic()
    alarm = alarms.set(began + 0.05, lambda: rung.append(time.monotonic()))
    eventually(lambda: len(rung) >= 3)
    alarms.clear(alarm)
    count = len(rung)
    time.sleep(0.05)
    assert len(rung) == count
    assert rung[0] >= began + 0.05


def test_an_earlier_alarm_is_not_kept_waiting_by_a_later_one() -> None:
    """The thread is told of what comes before that for which it waits."""
    alarms, rung = Alarms(), list[str]()
    late = alarms.set(time.monotonic() + 600, lambda: rung.append("late"))
    eventually(lambda: alarms._next < math.inf)
    soon = alarms.set(time.monotonic() + 0.02, lambda: rung.append("soon"))
    eventually(lambda: rung)
    alarms.clear(soon)
    assert set(rung) == {"soon"}
    alarms.clear(late)


def test_an_alarm_can_be_hastened() -> None:
    """One without a time, too."""
    alarms, rung = Alarms(), threading.Event()
    alarm = alarms.set(math.inf, rung.set)
    assert not rung.wait(0.05)
    alarms.hasten(alarm)
    eventually(rung.is_set)
    alarms.clear(alarm)


def test_alarms_that_are_set_and_cleared_wake_nobody() -> None:
    """As every call does it: but for the first, the thread sleeps on."""
    alarms = Alarms()
    alarms.clear(alarms.set(time.monotonic() + 600, lambda: None))
    eventually(lambda: alarms._next < math.inf)
    for _ in range(100):
        alarms.clear(alarms.set(time.monotonic() + 601, lambda: None))
        assert not alarms._news.is_set()
