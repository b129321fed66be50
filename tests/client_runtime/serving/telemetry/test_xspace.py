"""Profiles as TensorFlow's tools read them."""

from __future__ import annotations

from client_runtime.serving.telemetry.spans import Span
from client_runtime.serving.telemetry.xspace import HOST_PLANE, xspace
from client_runtime.serving_wire import xplane_pb2


def _profile(*spans: Span) -> xplane_pb2.XPlane:
    space = xspace(
        {"requests": spans},
        began_at=100.0,
        ended_at=101.0,
        unix_ns=1_700_000_000_000_000_000,
        hostname="here",
        warnings=["some"],
    )
    assert (list(space.hostnames), list(space.warnings)) == (["here"], ["some"])
    (plane,) = space.planes
    assert plane.name == HOST_PLANE
    return plane


def test_spans_are_events_of_rows() -> None:
    """In picoseconds from the beginning of the profile; parts follow what they are parts of."""
    inner = Span("queue", 100.25, 100.5)
    plane = _profile(Span("Predict", 100.25, 100.75, {"model": "half", "version": 3}, (inner,)))
    (row,) = plane.lines
    assert (row.name, row.timestamp_ns) == ("requests 1", 1_700_000_000_000_000_000)
    names = {number: entry.name for number, entry in plane.event_metadata.items()}
    assert [(names[one.metadata_id], one.offset_ps, one.duration_ps) for one in row.events] == [
        ("Predict", 250_000_000_000, 500_000_000_000),
        ("queue", 250_000_000_000, 250_000_000_000),
    ]
    facts = {number: entry.name for number, entry in plane.stat_metadata.items()}
    model, version = row.events[0].stats
    assert (facts[model.metadata_id], model.str_value) == ("model", "half")
    assert (facts[version.metadata_id], version.int64_value) == ("version", 3)


def test_spans_of_one_time_are_in_several_rows() -> None:
    """Each with a number of its own, and one table of names."""
    plane = _profile(Span("Predict", 100.1, 100.5), Span("Predict", 100.2, 100.3))
    assert [(row.id, row.name, len(row.events)) for row in plane.lines] == [
        (1, "requests 1", 1),
        (2, "requests 2", 1),
    ]
    assert [entry.name for entry in plane.event_metadata.values()] == ["Predict"]


def test_what_reaches_out_is_cut() -> None:
    """Offsets are never negative."""
    (row,) = _profile(Span("Predict", 99.0, 102.0)).lines
    (event,) = row.events
    assert (event.offset_ps, event.duration_ps) == (0, 1_000_000_000_000)
