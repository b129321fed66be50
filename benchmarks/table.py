"""The report: as text for people, as a document for programs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.interleaving import Summary, pooled, summary
from benchmarks.targets import Group, Judged

_PARTS = ("total", "serialize", "wire", "queue", "compute", "parse")


def as_text(judged: Sequence[Judged], groups: Mapping[str, Group], costs: Mapping[str, Any]) -> str:
    """Markdown tables: the promises, every contestant's own figures, and what our calls cost."""
    promises = [["row", "work", "against", "target", "measured (p10–p90)", "verdict"]]
    promises += [_promise(one) for one in judged]
    figures = [["measurement", "contestant", "median", "p10", "p90", "values"]]
    for name, group in groups.items():
        figures += [_figure(name, who, group) for who in (*group.measured, *group.absent)]
    spent = [["call", *_PARTS, "bytes in", "sent", "received", "held at most"]]
    spent += [_cost(work, cost) for work, cost in costs.items()]
    tables = (promises, figures, spent) if costs else (promises, figures)
    return "\n\n".join("\n".join(_markdown(one)) for one in tables) + "\n"


def as_document(
    judged: Sequence[Judged],
    groups: Mapping[str, Group],
    costs: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "machine": dict(facts),
        "rows": [_row_document(one) for one in judged],
        "groups": {name: _group_document(group) for name, group in groups.items()},
        "costs": dict(costs),
    }


def quantity(value: float, unit: str) -> str:
    """A value with three significant digits, in the unit that suits it."""
    if unit == "s":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
            if value * factor >= 1:
                return f"{_digits(value * factor)} {name}"
        return f"{_digits(value * 1e6)} µs"
    if unit == "bytes":
        return f"{_digits(value / 1e6)} MB"
    return f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _promise(one: Judged) -> list[str]:
    row = one.row
    target = f"{'≥' if row.at_least else '≤'} {row.limit:g} ×"
    verdict = f"{one.verdict}: {one.why}" if one.why else str(one.verdict)
    return [row.name, row.work, row.against, target, _ratio(one.ratio), verdict]


def _ratio(found: Summary | None) -> str:
    return "–" if found is None else f"{found.median:.2f} × ({found.p10:.2f}–{found.p90:.2f})"


def _figure(name: str, who: str, group: Group) -> list[str]:
    if who in group.absent:
        return [name, who, f"not measured: {group.absent[who]}", "", "", ""]
    found = summary(pooled(group.measured[who]))
    values = (quantity(one, group.unit) for one in (found.median, found.p10, found.p90))
    return [name, who, *values, str(found.count)]


def _cost(work: str, cost: Mapping[str, Any]) -> list[str]:
    counts = cost["counts"]
    times = (quantity(summary(cost["split"][part]).median, "s") for part in _PARTS)
    sizes = (f"{counts[name]:.0f}" for name in ("payload", "sent", "received", "held"))
    return [work, *times, *sizes]


def _markdown(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def _row_document(one: Judged) -> dict[str, Any]:
    return {
        **asdict(one.row),
        "verdict": str(one.verdict),
        "ratio": None if one.ratio is None else asdict(one.ratio),
        "why": one.why,
    }


def _group_document(group: Group) -> dict[str, Any]:
    return {
        "unit": group.unit,
        "contestants": {
            name: {**asdict(summary(pooled(rounds))), "rounds": rounds}
            for name, rounds in group.measured.items()
        },
        "not_measured": group.absent,
    }
