"""Faults as text, as JSON and as values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.faults.fault import SETTINGS, Fault, Kind, parse_fault
from accel_protocol.errors import AcceleratorError, CallError

ID = "eia-" + 32 * "0"

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "accelerator": st.sampled_from([None, 0, 7, ID]),
    "probability": st.floats(0, 1),
    "count": st.none() | st.integers(1, 10**9),
    "seconds": st.none() | st.floats(0.001, 600_000),
    "seed": st.integers(0, 2**63 - 1),
    "latency_ms": st.floats(0.001, 600_000),
    "jitter_ms": st.floats(0, 600_000),
    "bytes_per_second": st.none() | st.integers(1, 2**50),
    "messages": st.none() | st.integers(1, 10**9),
    "when": st.just("before"),
    "at": st.sampled_from(["accelerator", "control", "both"]),
    "bytes": st.integers(0, 2**50),
    "offset_seconds": st.floats(-6e8, 6e8).filter(bool),
}


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Any fault that there can be, but for cuts after the work."""
    kind = draw(st.sampled_from(list(Kind)))
    return Fault(kind, **{name: draw(VALUES[name]) for name in SETTINGS[kind]})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("unavailable", Fault(Kind.UNAVAILABLE)),
        (" drop : probability = 0.3 , seed = 7 ", Fault(Kind.DROP, probability=0.3, seed=7)),
        ("drop:when=after,count=1", Fault(Kind.DROP, when="after", count=1)),
        ("slow:latency-ms=200,accelerator=1", Fault(Kind.SLOW, accelerator=1, latency_ms=200)),
        ("slow:latency_ms=2,accelerator=all", Fault(Kind.SLOW, latency_ms=2)),
        (f"unhealthy:accelerator={ID}", Fault(Kind.UNHEALTHY, accelerator=ID)),
        ("memory-pressure:bytes=0", Fault(Kind.MEMORY_PRESSURE, bytes=0)),
        ("expired-credentials:at=both", Fault(Kind.EXPIRED_CREDENTIALS, at="both")),
        ("clock-skew:offset-seconds=-60", Fault(Kind.CLOCK_SKEW, offset_seconds=-60)),
    ],
)
def test_texts(text: str, fault: Fault) -> None:
    """KIND:name=value,name=value, with either spelling of names."""
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "kind is one of"),
        ("burning", "kind is one of"),
        ({}, "kind is one of"),
        ("drop:probability=2", "probability is a number from 0 to 1"),
        ("drop:probability=nan", "probability is a number"),
        ("drop:count=0", "count is a whole number"),
        ("drop:count=1.5", "count is a whole number"),
        ("drop:count", "no setting of a fault"),
        ("drop:count=1,count=2", "is there twice"),
        ("drop:kind=slow", "is there twice"),
        ("clock-skew", "needs offset_seconds"),
        ("clock-skew:offset_seconds=1e10", "offset_seconds is a number from"),
        ("clock-skew:offset_seconds=60,accelerator=0", "has no setting 'accelerator'"),
        ("drop:when=later", "when is one of before, after"),
        ("drop:messages=2,when=after", "not cut after the work"),
        ("drop:latency_ms=1", "has no setting 'latency_ms'"),
        ("drop:accelerator=-1", "an id, an ordinal or `all`"),
        ("drop:accelerator=eia-", "an id, an ordinal or `all`"),
        ({"kind": "drop", "accelerator": True}, "an id, an ordinal or `all`"),
        ({"kind": "drop", "count": True}, "count is a whole number"),
        ({"kind": "drop", "probability": "1"}, "probability is a number"),
        ({"kind": "drop", "when": []}, "when is one of"),
        ("unhealthy:count=1", "has no setting 'count'"),
        ("memory-pressure", "needs bytes"),
        ("slow", "needs latency_ms"),
        ("slow:latency_ms=0", "needs latency_ms"),
    ],
)
def test_what_is_no_fault(value: Any, said: str) -> None:
    """The message names what is wrong."""
    with pytest.raises(CallError, match=said):
        parse_fault(value)


@given(faults())
def test_round_trips(fault: Fault) -> None:
    """A fault survives as text and as JSON."""
    assert parse_fault(fault.to_text()) == fault
    assert parse_fault(json.loads(json.dumps(fault.to_document()))) == fault


@given(st.text(max_size=60) | st.builds("{}:{}".format, st.sampled_from(Kind), st.text()))
def test_any_text(text: str) -> None:
    """Is a fault, or a typed error."""
    try:
        assert isinstance(parse_fault(text), Fault)
    except AcceleratorError as error:
        assert error.reason == "INVALID_CALL"


@given(
    st.dictionaries(
        st.sampled_from([*VALUES, "kind", "made up"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none()),
    ),
    st.sampled_from(Kind),
)
def test_any_object(document: dict[str, Any], kind: Kind) -> None:
    """Is a fault, or a typed error."""
    try:
        assert parse_fault({**document, "kind": kind.value}).kind is kind
    except AcceleratorError as error:
        assert error.reason == "INVALID_CALL"
