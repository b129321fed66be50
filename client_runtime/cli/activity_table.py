"""How `accel smi` shows accelerators: as text for a terminal, and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from client_runtime.cli.activity import Activity, GraphActivity, Sample
from client_runtime.cli.quantities import bytes_text, seconds_text, three_digits, uptime_text

_HEADINGS = ("GRAPH", "MEMORY", "RUNS", "RUNS/S", "QUEUE", "COMPUTE", "ERRORS", "ENGINE")
_GRAPH_CHARACTERS = 12
_UNKNOWN = "-"


@dataclass(frozen=True)
class Unwatched:
    """An accelerator that is listed and not looked into, and why."""

    id: str
    type: str
    ordinal: int | None
    why: str


Row = Activity | Unwatched


def as_text(rows: Sequence[Row], heading: str) -> str:
    """All accelerators by ordinal, a block each."""
    blocks = [
        "\n".join(_lines(row)) if isinstance(row, Activity) else _unwatched_line(row)
        for row in sorted(rows, key=_order)
    ]
    return "\n\n".join([printable(heading), *blocks])


def _order(row: Row) -> tuple[float, str]:
    what = row.sample if isinstance(row, Activity) else row
    return (float("inf") if what.ordinal is None else what.ordinal, what.id)


def _unwatched_line(row: Unwatched) -> str:
    return "  ".join([_ordinal(row.ordinal), *map(printable, (row.id, row.type, row.why))])


def _ordinal(ordinal: int | None) -> str:
    return _UNKNOWN if ordinal is None else str(ordinal)


def _lines(activity: Activity) -> list[str]:
    sample = activity.sample
    sandbox = f"sandbox {sample.sandbox or _UNKNOWN}"
    facts = (sample.id, sample.type, *_throughput(sample), sample.engine, sandbox)
    first = "  ".join([_ordinal(sample.ordinal), *map(printable, facts)])
    return [first, f"   {_process_line(activity)}", *_graph_lines(activity.graphs)]


def _throughput(sample: Sample) -> list[str]:
    """Of the emulated type: for 32-bit and for 16-bit floats, and whether runs are held to it."""
    if sample.tera_flops_32 is None:
        return []
    paced = ", paced" if sample.paced else ""
    return [f"{sample.tera_flops_32}/{sample.tera_flops_16} TFLOPS{paced}"]


def _process_line(activity: Activity) -> str:
    sample = activity.sample
    uptime = _UNKNOWN if sample.uptime is None else uptime_text(sample.uptime)
    memory = _UNKNOWN if sample.memory_bytes is None else bytes_text(sample.memory_bytes)
    rate = "" if activity.runs_per_second is None else f" ({_rate(activity.runs_per_second)}/s)"
    emulated = sample.emulated_memory_bytes
    limit = "" if emulated is None else f" of {bytes_text(emulated)}"
    parts = [
        f"up {uptime}",
        f"process {memory}",
        f"graphs {len(activity.graphs)}, {bytes_text(activity.graphs_bytes)}{limit}",
        f"streams {_ordinal(sample.streams)}",
        f"runs {sample.runs}{rate}",
        f"errors {sample.failed_runs}",
        f"uploaded {bytes_text(sample.uploaded_bytes)}",
    ]
    return "   ".join(parts)


def _graph_lines(graphs: Sequence[GraphActivity]) -> list[str]:
    if not graphs:
        return []
    # The busiest first; equal ones keep their places from look to look.
    ranked = sorted(graphs, key=lambda graph: (-(graph.runs_per_second or 0), graph.graph_id))
    rows = [_HEADINGS, *(_graph_cells(graph) for graph in ranked)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        "   "
        + "  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:-1], widths[1:]), row[-1]])
        for row in rows
    ]


def _graph_cells(graph: GraphActivity) -> tuple[str, ...]:
    return (
        graph.graph_id[:_GRAPH_CHARACTERS],
        bytes_text(graph.memory_bytes),
        str(graph.runs),
        _rate(graph.runs_per_second),
        _UNKNOWN if graph.queue is None else seconds_text(graph.queue),
        _UNKNOWN if graph.compute is None else seconds_text(graph.compute),
        str(graph.failed_runs),
        printable(graph.engine or _UNKNOWN),
    )


def _rate(value: float | None) -> str:
    return _UNKNOWN if value is None else three_digits(value)


def printable(text: str) -> str:
    """A text without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)


def as_json(rows: Sequence[Row]) -> str:
    """All accelerators by ordinal; times in milliseconds, unknown figures null."""
    ordered = sorted(rows, key=_order)
    return json.dumps({"accelerators": [_document(row) for row in ordered]}, indent=2)


def _document(row: Row) -> dict[str, object]:
    if isinstance(row, Unwatched):
        return {**asdict(row), "watched": False}
    return {
        **_sample_document(row.sample),
        "runs_per_second": row.runs_per_second,
        "graphs_memory_bytes": row.graphs_bytes,
        "graphs": [_graph_document(graph) for graph in row.graphs],
        "watched": True,
    }


def _sample_document(sample: Sample) -> dict[str, object]:
    left_out = ("at", "graphs", "uptime")
    facts = {name: value for name, value in vars(sample).items() if name not in left_out}
    return {**facts, "uptime_seconds": sample.uptime}


def _graph_document(graph: GraphActivity) -> dict[str, object]:
    return {
        "id": graph.graph_id,
        "memory_bytes": graph.memory_bytes,
        "runs": graph.runs,
        "failed_runs": graph.failed_runs,
        "runs_per_second": graph.runs_per_second,
        "queue_ms": None if graph.queue is None else graph.queue * 1e3,
        "compute_ms": None if graph.compute is None else graph.compute * 1e3,
        "engine": graph.engine,
    }
