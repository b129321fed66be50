"""When a process hangs, and which graphs are to blame."""

from __future__ import annotations

import signal

import pytest

from accel_daemon.flight_record import FlightRecord, Work
from accel_daemon.launch_order import OUT_OF_MEMORY
from accel_daemon.supervisor.watchdog import (
    LATE_LOOKS,
    MISSED_LOOKS,
    Hang,
    Watchdog,
    blame_for_exit,
)

GRAPH, OTHER = b"g" * 32, b"o" * 32
LATE = Work("run", GRAPH, began=10.0, due=20.0)
EARLY = Work("load", OTHER, began=10.0, due=1000.0)
NOW = 23.0


def looked_at(dog: Watchdog, *work: Work, looks: int = LATE_LOOKS, beats: int = 0) -> Hang | None:
    """What the last of so many looks at a process that lives says."""
    records = [FlightRecord(beats + look, work) for look in range(1, looks + 1)]
    return [dog.look(record, NOW, is_stopped=False) for record in records][-1]


def test_what_ends_in_time_is_left_alone() -> None:
    """Work, beats, and a process that has no record yet."""
    dog = Watchdog()
    assert dog.look(None, NOW, is_stopped=False) is None
    for beats in range(100):
        assert dog.look(FlightRecord(beats, (EARLY,)), NOW, is_stopped=False) is None


def test_late_work_is_a_hang_of_its_graph_only() -> None:
    """Neighbours in the same process are not to blame."""
    hang = looked_at(Watchdog(), LATE, EARLY)
    assert hang is not None
    assert set(hang.blame) == {GRAPH}
    assert hang.is_certain
    assert "running it had not ended after 13 s" in hang.blame[GRAPH]


def test_work_has_a_grace() -> None:
    """Engines need a moment to stop, each one of its own."""
    assert looked_at(Watchdog(), LATE, looks=LATE_LOOKS - 1) is None
    dog = Watchdog()
    for beats in range(10):
        another = Work("run", GRAPH, began=10.0 + beats, due=20.0)
        assert looked_at(dog, another, looks=LATE_LOOKS - 1, beats=10 * beats) is None


def silent(work: tuple[Work, ...], *, is_stopped: bool, looks: int = MISSED_LOOKS + 1) -> object:
    """What the last of so many looks at a process without beats says."""
    dog = Watchdog()
    record = FlightRecord(7, work)
    return [dog.look(record, 11.0, is_stopped=is_stopped) for _ in range(looks)][-1]


def test_a_silent_process_hangs_with_all_its_work() -> None:
    """Whichever graph holds it up: nobody can tell."""
    hang = silent((EARLY,), is_stopped=False)
    assert hang is not None
    assert set(hang.blame) == {OTHER}  # type: ignore[attr-defined]
    assert not hang.is_certain  # type: ignore[attr-defined]
    assert silent((EARLY,), is_stopped=False, looks=MISSED_LOOKS) is None


def test_graphs_of_a_stopped_process_are_innocent() -> None:
    """SIGSTOP comes from outside; the process is started again all the same."""
    hang = silent((EARLY,), is_stopped=True)
    assert hang is not None
    assert hang.blame == {}  # type: ignore[attr-defined]


def test_late_work_of_a_process_that_was_paused_is_no_hang() -> None:
    """However late it is by the clock, it gets all of its grace while the process goes on."""
    dog = Watchdog()
    assert looked_at(dog, LATE, looks=LATE_LOOKS - 1) is None
    for _ in range(MISSED_LOOKS - 1):  # no beats
        record = FlightRecord(LATE_LOOKS - 1, (LATE,))
        assert dog.look(record, NOW + 15, is_stopped=False) is None
    assert dog.look(FlightRecord(100, (LATE,)), NOW + 15, is_stopped=True) is None
    assert looked_at(dog, LATE, looks=1, beats=100) is not None


@pytest.mark.parametrize(
    ("status", "is_to_blame"),
    [
        (-signal.SIGABRT, True),
        (-signal.SIGSEGV, True),
        (-signal.SIGSYS, True),
        (-signal.SIGKILL, False),
        (-signal.SIGTERM, False),
        (0, False),
        (1, False),
        (OUT_OF_MEMORY, True),
    ],
)
def test_blame_for_an_exit(status: int, is_to_blame: bool) -> None:
    """Only for signals that a process brings upon itself, and where it says that memory ran out."""
    blame = blame_for_exit(status, FlightRecord(1, (EARLY,)))
    assert (set(blame) == {OTHER}) is is_to_blame
    assert blame_for_exit(status, None) == {}


@pytest.mark.parametrize(
    ("status", "is_to_blame"), [(-signal.SIGKILL, True), (-signal.SIGTERM, False), (1, False)]
)
def test_blame_where_memory_ran_out(status: int, is_to_blame: bool) -> None:
    """SIGKILL is what the kernel ends a process with then."""
    blame = blame_for_exit(status, FlightRecord(1, (EARLY,)), memory_ran_out=True)
    assert (set(blame) == {OTHER}) is is_to_blame
    assert all("for want of memory" in why for why in blame.values())
