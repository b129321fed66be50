"""Which faults there are, for how long, and what they mean to the control endpoint."""

from __future__ import annotations

import pytest

from accel_daemon.faults.board import MAX_FAULTS, FaultBoard, Place
from accel_daemon.faults.fault import parse_fault
from accel_protocol.errors import LimitError

FIRST, SECOND = Place("eia-1", 0), Place("eia-2", 1)


class Clock:
    """Stands still until told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The board's clock."""
    return Clock()


@pytest.fixture
def board(clock: Clock) -> FaultBoard:
    """An empty board."""
    return FaultBoard(clock)


def inject(board: FaultBoard, text: str, at: Place | None = None) -> str:
    """Inject a fault, and give its id."""
    return board.inject(parse_fault(text), at and at.accelerator_id).id


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("unhealthy", True, True),
        ("unhealthy:probability=0", False, False),
        ("unavailable", True, True),
        ("unavailable:count=1", False, False),
        ("unavailable:probability=0.5", False, False),
        ("drop", False, False),
    ],
)
def test_unhealthy(board: FaultBoard, text: str, first: bool, second: bool) -> None:
    """What is unhealthy, or never to be had."""
    inject(board, text)
    assert (board.is_unhealthy(FIRST), board.is_unhealthy(SECOND)) == (first, second)


def test_one_accelerator_only(board: FaultBoard) -> None:
    """The other one is left alone."""
    inject(board, "unavailable", SECOND)
    assert not board.is_unhealthy(FIRST)
    assert not board.refuses_connect(FIRST)
    assert board.is_unhealthy(SECOND)
    assert board.refuses_connect(SECOND)
    assert board.told(FIRST) == ()
    assert [one["id"] for one in board.told(SECOND)] == ["1"]


def test_count_is_for_each_accelerator(board: FaultBoard) -> None:
    """So many Connects of each are refused."""
    inject(board, "unavailable:count=2")
    assert [board.refuses_connect(FIRST) for _ in range(3)] == [True, True, False]
    assert [board.refuses_connect(SECOND) for _ in range(3)] == [True, True, False]
    assert board.present()[0].happened == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("expired-credentials", [False, False]),
        ("expired-credentials:at=control", [True, True]),
        ("expired-credentials:at=both,count=1", [True, False]),
        ("unavailable", [False, False]),
    ],
)
def test_credentials(board: FaultBoard, text: str, expected: list[bool]) -> None:
    """Refused at the control endpoint only where that is asked for."""
    inject(board, text)
    assert [board.refuses_credentials() for _ in expected] == expected


def test_time_ends_a_fault(board: FaultBoard, clock: Clock) -> None:
    """To the end of its seconds and no longer."""
    inject(board, "unhealthy:seconds=10")
    assert board.told(FIRST)[0]["until"] == 110.0
    clock.now = 109.9
    assert board.is_unhealthy(FIRST)
    clock.now = 110.0
    assert not board.is_unhealthy(FIRST)
    assert board.told(FIRST) == board.present() == ()


def test_clearing(board: FaultBoard) -> None:
    """One, or all; what is not there is no error. Ids are never used again."""
    assert [inject(board, "drop") for _ in range(3)] == ["1", "2", "3"]
    before = board.version
    assert board.clear("2") == ("2",)
    assert board.version > before
    assert board.clear("2") == board.clear("nonsense") == ()
    assert board.clear() == ("1", "3")
    assert inject(board, "drop") == "4"


def test_there_is_a_bound(board: FaultBoard, clock: Clock) -> None:
    """Faults that are over do not count."""
    for _ in range(MAX_FAULTS):
        inject(board, "drop:seconds=1")
    with pytest.raises(LimitError):
        inject(board, "drop")
    clock.now += 1
    inject(board, "drop")


def test_clock_skew_ends_by_the_board_s_clock(board: FaultBoard, clock: Clock) -> None:
    """Faults add up, and end whatever the clock does that they set."""
    assert board.clock_skew() == 0
    inject(board, "clock-skew:offset_seconds=3600")
    inject(board, "clock-skew:offset_seconds=-60,seconds=10")
    assert board.clock_skew() == 3540
    clock.now += 10
    assert board.clock_skew() == 3600
    board.clear()
    assert board.clock_skew() == 0
