"""Spans of time that a profile shows, and rows in which they do not cross. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from client_runtime.serving.events import BatchEnded, RequestEnded, RunEnded, status_name
from client_runtime.serving.servable import ServableId


@dataclass(frozen=True)
class Span:
    """Something that took time, with what happened inside it.

    Attributes:
        name: as the profile shows it.
        began_at, ended_at: time.monotonic(), in seconds.
        facts: to be shown with it.
        parts: spans inside of it.
    """

    name: str
    began_at: float
    ended_at: float
    facts: Mapping[str, str | int] = field(default_factory=dict)
    parts: tuple[Span, ...] = ()

    def within(self, began_at: float, ended_at: float) -> Span:
        """The same, cut to an interval, with all its parts."""
        began = min(max(self.began_at, began_at), ended_at)
        ended = max(min(self.ended_at, ended_at), began)
        parts = tuple(part.within(began, ended) for part in self.parts)
        return replace(self, began_at=began, ended_at=ended, parts=parts)


def request_spans(requests: Iterable[RequestEnded], runs: Iterable[RunEnded]) -> list[Span]:
    """A span for each request with its runs inside, and one for each run that belongs to none.

    Runs that went on at the same time for one request cannot be in one row: only the first of them
    is a part of the request's span.
    """
    by_request: dict[str, list[RunEnded]] = {}
    for run in sorted(runs, key=attrgetter("began_at")):
        by_request.setdefault(run.caller.request_id, []).append(run)
    spans = []
    for request in requests:
        inside, beside = _apart([run_span(run) for run in by_request.pop(_id(request), [])])
        spans += [_request_span(request, inside), *beside]
    spans += [run_span(run) for several in by_request.values() for run in several]
    return spans


def run_span(run: RunEnded) -> Span:
    """A run, with its wait and its computing, which is drawn right behind the wait."""
    queue_end = run.began_at + run.queue_seconds
    queue = Span("queue", run.began_at, queue_end)
    compute = Span("compute", queue_end, queue_end + run.compute_seconds)
    parts = tuple(part for part in (queue, compute) if part.ended_at > part.began_at)
    facts = {**_facts(run.servable, run.signature), "status": status_name(run.status)}
    end = run.began_at + run.seconds
    return Span("accelerator run", run.began_at, end, facts, parts).within(run.began_at, end)


def batch_span(batch: BatchEnded) -> Span:
    """A run of the batching scheduler."""
    facts = {
        **_facts(batch.servable, batch.signature),
        "requests": len(batch.rows),
        "rows": sum(batch.rows),
        "execution_rows": batch.execution_rows,
        "status": status_name(batch.status),
    }
    return Span("batch", batch.began_at, batch.began_at + batch.seconds, facts)


def rows_of(spans: Iterable[Span]) -> list[list[Span]]:
    """The spans in as few rows as do, so that no two of a row overlap; each row in order."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=attrgetter("began_at", "ended_at")):
        for row in rows:
            if row[-1].ended_at <= span.began_at:
                row.append(span)
                break
        else:
            rows.append([span])
    return rows


def _apart(spans: Sequence[Span]) -> tuple[tuple[Span, ...], list[Span]]:
    """Spans one after the other, and those that overlap one of these."""
    inside: list[Span] = []
    beside: list[Span] = []
    for span in spans:
        (beside if inside and span.began_at < inside[-1].ended_at else inside).append(span)
    return tuple(inside), beside


def _request_span(request: RequestEnded, runs: tuple[Span, ...]) -> Span:
    caller = request.caller
    facts: dict[str, str | int] = {"model": request.model, "signature": request.signature}
    if request.version is not None:
        facts["version"] = request.version
    facts |= {
        "status": status_name(request.status),
        "door": caller.door,
        "request_id": caller.request_id,
    }
    end = request.began_at + request.seconds
    return Span(caller.api, request.began_at, end, facts, runs).within(request.began_at, end)


def _facts(servable: ServableId, signature: str) -> dict[str, str | int]:
    return {"model": servable.name, "version": servable.version, "signature": signature}


def _id(request: RequestEnded) -> str:
    return request.caller.request_id
