"""The sequence of a fault's decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.faults.fault import Fault, Kind, parse_fault
from accel_daemon.faults.plan import PASS, Event, FaultPlan, Moment, Verdict

ADMISSION, CALL, ANSWER = (Event(one) for one in (Moment.ADMISSION, Moment.CALL, Moment.ANSWER))
IN = Event(Moment.MESSAGE, size=1000, number=1)
EVENTS = st.lists(
    st.builds(Event, st.sampled_from(Moment), st.integers(0, 9999), st.integers(0, 4)), max_size=40
)
FAULTS = st.builds(
    Fault,
    st.sampled_from(Kind),
    probability=st.floats(0, 1),
    count=st.none() | st.integers(1, 5),
    seed=st.integers(0, 9),
    latency_ms=st.floats(0, 100),
    jitter_ms=st.floats(0, 100),
    bytes_per_second=st.none() | st.integers(1, 10**9),
    messages=st.none() | st.integers(1, 4),
)


def verdicts(text: str, *events: Event, place: str = "0") -> str:
    """The first letter of each decision, P for PASS."""
    plan = FaultPlan(parse_fault(text), place)
    return "".join(plan.decide(event).verdict.name[0] for event in events)


@pytest.mark.parametrize(
    ("text", "events", "expected"),
    [
        ("unavailable", [ADMISSION, IN, CALL, ANSWER, ADMISSION], "RPPPR"),
        ("unavailable:count=1", [ADMISSION, ADMISSION], "RP"),
        ("expired-credentials", [ADMISSION, IN], "RP"),
        ("slow:latency_ms=1", [ADMISSION, IN, Event(Moment.MESSAGE), CALL], "PDDP"),
        ("drop", [ADMISSION, IN, CALL, ANSWER], "PPCP"),
        ("drop:when=after", [ADMISSION, IN, CALL, ANSWER], "PPPC"),
        ("drop:messages=1", [ADMISSION, IN, CALL, ANSWER], "PCPP"),
        ("drop:messages=2", [IN, Event(Moment.MESSAGE), Event(Moment.MESSAGE, number=2)], "PPC"),
        ("drop:probability=0", [CALL] * 9, "PPPPPPPPP"),
        ("unhealthy", [ADMISSION, IN, CALL, ANSWER], "PPPP"),
        ("memory-pressure:bytes=1", [ADMISSION, IN, CALL, ANSWER], "PPPP"),
    ],
)
def test_what_strikes_when(text: str, events: list[Event], expected: str) -> None:
    """Each kind at its moments, and no other."""
    assert verdicts(text, *events) == expected


def test_the_sequence_of_a_seed() -> None:
    """It is the same in every process and version: people write their tests around it."""
    calls = [CALL] * 20
    assert verdicts("drop:probability=0.3,seed=7", *calls) == "PPCPCPPPPPPCCPPPPPPP"
    assert verdicts("drop:probability=0.3,seed=8", *calls) != "PPCPCPPPPPPCCPPPPPPP"
    assert verdicts("drop:probability=0.3,seed=7", *calls, place="1") != "PPCPCPPPPPPCCPPPPPPP"


@given(FAULTS, EVENTS)
def test_same_seed_same_decisions(fault: Fault, events: list[Event]) -> None:
    """Also when events that do not concern it come in between."""
    one, other = FaultPlan(fault, "0"), FaultPlan(fault, "0")
    irrelevant = Event(Moment.MESSAGE, number=9) if fault.kind is Kind.DROP else CALL
    for event in events:
        if fault.kind is not Kind.SLOW:
            assert other.decide(irrelevant) == PASS
        assert one.decide(event, 1.0) == other.decide(event, 1.0)
    assert one.holds == other.holds


@given(FAULTS, EVENTS)
def test_count_is_never_exceeded(fault: Fault, events: list[Event]) -> None:
    """What it counts is what it did."""
    plan = FaultPlan(fault, "0")
    struck = sum(plan.decide(event).verdict is not Verdict.PASS for event in events)
    assert struck == plan.happened
    assert fault.count is None or struck <= fault.count
    assert fault.probability > 0 or struck == 0


def test_latency_and_jitter() -> None:
    """A message takes the latency and at most the jitter longer."""
    plan = FaultPlan(parse_fault("slow:latency_ms=100,jitter_ms=50"), "0")
    delays = [plan.decide(IN).seconds for _ in range(100)]
    assert min(delays) >= 0.1
    assert max(delays) <= 0.15
    assert len(set(delays)) > 50


def test_bandwidth_is_shared() -> None:
    """Messages that come at once wait for each other; later ones find the line free."""
    plan = FaultPlan(parse_fault("slow:bytes_per_second=1000"), "0")
    assert [plan.decide(IN, 5.0).seconds for _ in range(3)] == [1.0, 2.0, 3.0]
    assert plan.decide(IN, 7.5).seconds == pytest.approx(1.5)
    assert plan.decide(IN, 100.0).seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("probability", "expected"), [(0, {False}), (1, {True}), (0.5, {True, False})]
)
def test_states_are_drawn_once(probability: float, expected: Any) -> None:
    """A state holds or does not hold at a place."""
    fault = Fault(Kind.UNHEALTHY, probability=probability, seed=3)
    assert {FaultPlan(fault, str(place)).holds for place in range(20)} == expected
