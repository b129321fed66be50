"""Spans of requests, and their rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.telemetry.spans import (
    Span,
    batch_span,
    request_spans,
    rows_of,
    run_span,
)
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    GRPC,
    batch_ended,
    request_ended,
    run_ended,
)


def test_a_run_has_its_queue_and_its_computing() -> None:
    """One behind the other; the rest went into travel."""
    span = run_span(run_ended())
    queue, compute = span.parts
    assert (span.name, queue.name, compute.name) == ("accelerator run", "queue", "compute")
    assert (span.began_at, span.ended_at) == pytest.approx((100.0005, 100.0015))
    assert (queue.began_at, queue.ended_at) == pytest.approx((100.0005, 100.001))
    assert (compute.began_at, compute.ended_at) == pytest.approx((100.001, 100.00125))


def test_what_took_no_time_is_no_part() -> None:
    """A run that did not wait has no queue."""
    parts = run_span(replace(run_ended(), queue_seconds=0.0)).parts
    assert [part.name for part in parts] == ["compute"]


def test_a_request_holds_its_run() -> None:
    """By its request id; others stand for themselves."""
    other = run_ended(caller=replace(GRPC, request_id="warm-up"))
    spans = request_spans([request_ended()], [run_ended(), other])
    assert [(span.name, [part.name for part in span.parts]) for span in spans] == [
        ("Predict", ["accelerator run"]),
        ("accelerator run", ["queue", "compute"]),
    ]
    assert spans[0].facts == {
        "model": "half",
        "version": 3,
        "signature": "serving_default",
        "status": "OK",
        "door": "GRPC",
        "request_id": "r1",
    }


def test_runs_at_the_same_time_are_apart() -> None:
    """One is inside the request, the other one beside it; the next one is inside again."""
    runs = [
        replace(run_ended(signature="a"), began_at=100.0, seconds=0.001),
        replace(run_ended(signature="b"), began_at=100.0005, seconds=0.001),
        replace(run_ended(signature="c"), began_at=100.001, seconds=0.001),
    ]
    request, beside = request_spans([request_ended()], runs)
    assert [part.facts["signature"] for part in request.parts] == ["a", "c"]
    assert beside.facts["signature"] == "b"


def test_a_batch_says_how_full_it_was() -> None:
    """Requests, rows, and what ran."""
    facts = batch_span(batch_ended()).facts
    assert (facts["requests"], facts["rows"], facts["execution_rows"]) == (2, 3, 4)


def test_a_span_is_cut_to_an_interval() -> None:
    """With its parts; what lies outside has no length."""
    span = Span("a", 1.0, 5.0, {}, (Span("b", 1.0, 2.0), Span("c", 3.0, 5.0)))
    cut = span.within(2.5, 4.0)
    assert [(one.began_at, one.ended_at) for one in (cut, *cut.parts)] == [
        (2.5, 4.0),
        (2.5, 2.5),
        (3.0, 4.0),
    ]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10))))
def test_rows_hold_every_span_once_and_do_not_overlap(times: list[tuple[int, int]]) -> None:
    """And there are no more of them than spans at one time."""
    spans = [Span(str(n), at, at + length) for n, (at, length) in enumerate(times)]
    rows = rows_of(spans)
    assert sorted(int(span.name) for row in rows for span in row) == list(range(len(spans)))
    for row in rows:
        for one, following in pairwise(row):
            assert one.ended_at <= following.began_at
    at_once = max(
        (sum(one.began_at <= at <= one.ended_at for one in spans) for at in range(61)), default=0
    )
    assert len(rows) <= at_once
