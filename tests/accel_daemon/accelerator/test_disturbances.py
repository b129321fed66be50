"""Which faults hold in an accelerator's process, and what they do to a call's messages."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from accel_daemon.accelerator.disturbances import Disturbances, ending, size_of
from accel_daemon.accelerator.handlers import UNREADABLE, reader
from accel_daemon.faults.board import FaultBoard, Place
from accel_daemon.faults.fault import parse_fault
from accel_daemon.faults.plan import Event, Moment
from accel_daemon.launch_order import Notice
from accel_protocol.errors import ConnectionLostError, CredentialsError
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb

ADMISSION, CALL = Event(Moment.ADMISSION), Event(Moment.CALL)


def told(fault_id: str, text: str, until: float | None = None) -> dict[str, Any]:
    """A fault as the supervisor tells it."""
    document = parse_fault(text).to_document()
    return {"id": fault_id, "place": "0", "until": until, "fault": document}


def holding(*texts: str) -> Disturbances:
    """Disturbances with these faults."""
    disturbances = Disturbances(lambda: 100.0)
    disturbances.adopt([told(str(number), text) for number, text in enumerate(texts)])
    return disturbances


@pytest.mark.parametrize(
    ("texts", "is_unhealthy", "capacity"),
    [
        ((), False, None),
        (("unhealthy",), True, None),
        (("unhealthy:probability=0",), False, None),
        (("unavailable",), True, None),
        (("unavailable:count=1",), False, None),
        (("memory-pressure:bytes=5", "memory-pressure:bytes=3"), False, 3),
        (("memory-pressure:bytes=5,probability=0",), False, None),
    ],
)
def test_states(texts: tuple[str, ...], is_unhealthy: bool, capacity: int | None) -> None:
    """Health, and the smallest of all capacities."""
    disturbances = holding(*texts)
    assert (disturbances.is_unhealthy, disturbances.capacity) == (is_unhealthy, capacity)


def test_clock_skew_adds_up_and_ends() -> None:
    """By the clock that the daemon tells the ends by, not by the one that is skewed."""
    now = [100.0]
    disturbances = Disturbances(lambda: now[0])
    disturbances.adopt(
        [
            told("1", "clock-skew:offset_seconds=3600"),
            told("2", "clock-skew:offset_seconds=-60", until=110.0),
        ]
    )
    assert disturbances.clock_skew() == 3540
    now[0] = 110.0
    assert disturbances.clock_skew() == 3600


def test_a_fault_goes_on_when_another_comes() -> None:
    """What it has done stays done; what is not told any more is gone."""
    disturbances = holding("drop:count=1")
    with pytest.raises(ConnectionLostError, match="fault 0 on demand"):
        asyncio.run(disturbances.meet(CALL))
    fresh = disturbances.adopt([told("0", "drop:count=1"), told("7", "unhealthy")])
    assert [one.id for one in fresh] == ["7"]
    asyncio.run(disturbances.meet(CALL))
    assert disturbances.counters() == {"faults_version": 0, "fault_0": 1, "fault_7": 0}
    disturbances.adopt([told("7", "unhealthy")])
    assert [one.id for one in disturbances.present] == ["7"]


def test_time_ends_faults() -> None:
    """Those that are over go; the next end is known."""
    disturbances = Disturbances(lambda: 100.0)
    disturbances.adopt([told("1", "drop", 100.0), told("2", "drop", 103.0), told("3", "drop")])
    assert disturbances.prune() == 3.0
    assert [one.id for one in disturbances.present] == ["2", "3"]
    disturbances.adopt([told("3", "drop")])
    assert disturbances.prune() is None


def test_delays_add_up() -> None:
    """Two slow lines are slower than one."""
    disturbances = holding("slow:latency_ms=40", "slow:latency_ms=60")
    started = time.monotonic()
    asyncio.run(disturbances.meet(Event(Moment.MESSAGE, 10)))
    assert time.monotonic() - started >= 0.099


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("unavailable", ConnectionLostError),
        ("expired-credentials", CredentialsError),
        ("expired-credentials:at=control", None),
        ("drop", None),
        ("unhealthy", None),
    ],
)
def test_open_streams_end(text: str, error: type[Exception] | None) -> None:
    """Where a stream that begins now would be refused."""
    fresh = Disturbances(lambda: 100.0).adopt([told("1", text)])
    found = ending(fresh)
    assert found is None if error is None else isinstance(found, error)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "Run"])
def test_the_size_of_each_method_s_request(name: str) -> None:
    """Is told of whatever its reader makes of it, and there is none of what cannot be read."""
    message = pb.LoadRequest(graph_id=b"g" * 9).SerializeToString()
    assert size_of(reader(METHODS[name])(message)) == len(message) == size_of(message)
    assert size_of(UNREADABLE) == 0


def test_control_only() -> None:
    """What strikes at the control endpoint leaves calls alone."""
    asyncio.run(holding("expired-credentials:at=control").meet(ADMISSION))


@pytest.mark.parametrize("seed", range(8))
def test_daemon_and_process_draw_the_same(seed: int) -> None:
    """Health by chance is the same in the API and in the health service."""
    board = FaultBoard(lambda: 100.0)
    board.inject(parse_fault(f"unhealthy:probability=0.5,seed={seed}"), None)
    for ordinal in range(4):
        place = Place(f"eia-{ordinal}", ordinal)
        disturbances = Disturbances(lambda: 100.0)
        disturbances.adopt(board.told(place))
        assert disturbances.is_unhealthy is board.is_unhealthy(place)


def test_a_notice_survives_its_line() -> None:
    """Faults travel in one line of JSON; a notice of another kind needs none."""
    faults = ({"id": "1", "place": "0", "until": None, "fault": {"kind": "drop"}},)
    notice = Notice("faults", faults=faults, version=3)
    assert Notice.from_line(notice.to_line()) == notice
    assert Notice.from_line(b'{"kind": "drain"}') == Notice("drain")
