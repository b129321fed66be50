"""The result of `accel bench`, as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from client_runtime.cli.differences import Difference, worst
from client_runtime.cli.latencies import Latencies, Part
from client_runtime.cli.quantities import bytes_text, seconds_text, three_digits
from client_runtime.cli.verdict import Verdict

_BAR = 30  # characters of a bar that means all of a call


@dataclass(frozen=True)
class Side:
    """One way of making the calls. Times in seconds; throughput in calls a second."""

    first_call: float
    latencies: Latencies
    throughput: float


@dataclass(frozen=True)
class FeedFacts:
    """What is fed: TensorFlow's dtype name, shape, bytes, and whether it was made up."""

    dtype: str
    shape: tuple[int, ...]
    size: int
    random: bool


@dataclass(frozen=True)
class Emulated:
    """A call's operations by float width, and the seconds they take at each type's throughput."""

    flops_16: int
    flops_32: int
    types: Mapping[str, float]


@dataclass(frozen=True)
class Result:
    """Everything that `accel bench` found out.

    Attributes:
        accelerator, engine: id and engine of what was measured.
        batch: rows of a call, the first dimension of its feeds.
        connect: seconds until a ticket and an address were there.
        uploaded_bytes: of the model, in the first call.
        split: where a remote call's time goes.
        local: None where there is no TensorFlow here, or it was not asked for: see `note`.
        differences: of the answers of both sides, None without a local one.
        note: why there is no local side, else empty.
        emulated: what a call's operations take on each published type; None where the accelerator
            does not count them, as `host` does not.
    """

    model: str
    accelerator: str
    engine: str
    runs: int
    concurrency: int
    batch: int
    feeds: Mapping[str, FeedFacts]
    connect: float
    uploaded_bytes: int
    remote: Side
    split: Mapping[str, Part]
    verdict: Verdict
    local: Side | None = None
    differences: list[Difference] | None = None
    note: str = ""
    emulated: Emulated | None = None


def as_text(result: Result) -> str:
    """For a person."""
    sections = [_head(result), _sides(result), _split(result.split), _results(result)]
    if result.emulated is not None:
        sections.append(_emulated(result.emulated))
    return "\n\n".join([*sections, f"verdict      {result.verdict.text}"])


def _head(result: Result) -> str:
    feeds = ", ".join(
        f"{name} {feed.dtype} {list(feed.shape)}{' random' if feed.random else ''}"
        for name, feed in result.feeds.items()
    )
    turns = "" if result.local is None else " on each side, in turns"
    size = bytes_text(sum(feed.size for feed in result.feeds.values()))
    rows = [
        ("model", result.model),
        ("feeds", f"{feeds or 'none'}, {size} a call"),
        ("accelerator", f"{result.accelerator}, {result.engine}"),
        ("calls", f"{result.runs}{turns}, {result.concurrency} at a time"),
        (
            "to begin",
            f"connecting {seconds_text(result.connect)}, "
            f"{bytes_text(result.uploaded_bytes)} of the model sent in the first call",
        ),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in rows)


def _sides(result: Result) -> str:
    headings = ("", "FIRST CALL", "MIN", "P50", "P90", "P99", "MAX", "CALLS/S", "ROWS/S")
    rows = [headings, _side_row("remote", result.remote, result.batch)]
    if result.local is not None:
        rows.append(_side_row("local", result.local, result.batch))
    lines = [f"{row[0]:<12}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows]
    return "\n".join([*lines, f"{'local':<12} {result.note}"] if result.note else lines)


def _side_row(name: str, side: Side, batch: int) -> tuple[str, ...]:
    figures = side.latencies
    times = (figures.minimum, figures.p50, figures.p90, figures.p99, figures.maximum)
    rates = (side.throughput, side.throughput * batch)
    return (
        name,
        *(seconds_text(seconds) for seconds in (side.first_call, *times)),
        *(three_digits(rate) for rate in rates),
    )


def _split(parts: Mapping[str, Part]) -> str:
    lines = ["remote call       MEDIAN   SHARE"]
    for name, part in parts.items():
        bar = "█" * round(part.share * _BAR)
        lines.append(f"{name:<12}{seconds_text(part.median):>11}{part.share:>8.0%}  {bar}".rstrip())
    return "\n".join(lines)


def _emulated(emulated: Emulated) -> str:
    giga = (emulated.flops_16 + emulated.flops_32) / 1e9
    times = "\n".join(
        f"{name:<12}{seconds_text(seconds):>11}" for name, seconds in emulated.types.items()
    )
    return (
        f"operations   {three_digits(giga)} GFLOP a call; at the published throughput of a type, "
        f"without memory and network:\n{times}"
    )


def _results(result: Result) -> str:
    if result.differences is None:
        return "results      not compared: there is no local side"
    found = worst(result.differences)
    if found is None:
        names = ", ".join(d.alias for d in result.differences if d.absolute is None)
        return f"results      DIFFER from local TensorFlow's: {names}"
    absolute, relative = found
    return (
        "results      differ from local TensorFlow's by at most "
        f"{absolute:.3g} absolute, {relative:.3g} relative"
    )


def as_json(result: Result) -> str:
    """For a program. Times in milliseconds; a difference that is no finite number is null."""
    document = {
        "model": result.model,
        "accelerator": result.accelerator,
        "engine": result.engine,
        "runs": result.runs,
        "concurrency": result.concurrency,
        "batch": result.batch,
        "feeds": {name: vars(feed) for name, feed in result.feeds.items()},
        "connect_ms": result.connect * 1e3,
        "uploaded_bytes": result.uploaded_bytes,
        "remote": {
            **_side_document(result.remote),
            "split": {
                name: {"median_ms": part.median * 1e3, "share": part.share}
                for name, part in result.split.items()
            },
        },
        "local": None if result.local is None else _side_document(result.local),
        "note": result.note,
        "differences": None
        if result.differences is None
        else {
            one.alias: {"absolute": _number(one.absolute), "relative": _number(one.relative)}
            for one in result.differences
        },
        "emulated": None if result.emulated is None else _emulated_document(result.emulated),
        "verdict": {
            "limit": result.verdict.limit,
            "share": result.verdict.share,
            "text": result.verdict.text,
        },
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _emulated_document(emulated: Emulated) -> dict[str, object]:
    return {
        "flops_16": emulated.flops_16,
        "flops_32": emulated.flops_32,
        "types_ms": {name: one * 1e3 for name, one in emulated.types.items()},
    }


def _side_document(side: Side) -> dict[str, Any]:
    figures = side.latencies
    return {
        "first_call_ms": side.first_call * 1e3,
        "min_ms": figures.minimum * 1e3,
        "p50_ms": figures.p50 * 1e3,
        "p90_ms": figures.p90 * 1e3,
        "p99_ms": figures.p99 * 1e3,
        "max_ms": figures.maximum * 1e3,
        "calls_per_second": side.throughput,
    }


def _number(value: float | None) -> float | None:
    return value if value is not None and value < float("inf") else None
