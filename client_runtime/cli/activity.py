"""What an accelerator did between two looks at it. Pure: from answers to figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class GraphCount:
    """One loaded graph's counts so far; queue and compute are sums over its runs, in seconds.

    `engine` is what executes it now.
    """

    graph_id: str
    memory_bytes: int
    runs: int
    failed_runs: int
    queue: float
    compute: float
    engine: str = ""


@dataclass(frozen=True)
class Sample:
    """One look at an accelerator.

    Attributes:
        at: seconds of a clock that only goes forward.
        ordinal: None where it is not known.
        memory_bytes, uptime, streams: of its process; None from accelerators that do not tell.
        emulated_memory_bytes, tera_flops_16, tera_flops_32: of the emulated type; None where
            nothing is emulated.
        paced: whether runs take as long as that throughput would have them.
    """

    at: float
    id: str
    type: str
    ordinal: int | None
    sandbox: str
    engine: str
    daemon_version: str
    memory_bytes: int | None
    uptime: float | None
    streams: int | None
    runs: int
    failed_runs: int
    uploaded_bytes: int
    graphs: tuple[GraphCount, ...]
    emulated_memory_bytes: int | None = None
    tera_flops_16: int | None = None
    tera_flops_32: int | None = None
    paced: bool = False


@dataclass(frozen=True)
class GraphActivity:
    """One graph now.

    Attributes:
        runs_per_second: None without an earlier look.
        queue, compute: mean seconds of a run since the earlier look, or since loading where there
            was none or nothing ran in between; None where nothing ever ran.
    """

    graph_id: str
    memory_bytes: int
    runs: int
    failed_runs: int
    runs_per_second: float | None
    queue: float | None
    compute: float | None
    engine: str = ""


@dataclass(frozen=True)
class Activity:
    """One accelerator now; `runs_per_second` is None without an earlier look."""

    sample: Sample
    runs_per_second: float | None
    graphs: tuple[GraphActivity, ...]

    @property
    def graphs_bytes(self) -> int:
        """Memory of all loaded graphs."""
        return sum(graph.memory_bytes for graph in self.graphs)


def read_sample(at: float, ordinal: int | None, capabilities: Any, listed: Any) -> Sample:
    """A sample from a GetCapabilitiesResponse and a ListResponse."""
    process = listed.process if listed.HasField("process") else None
    return Sample(
        at=at,
        id=capabilities.accelerator_id,
        type=capabilities.accelerator_type,
        ordinal=ordinal,
        sandbox=capabilities.sandbox,
        engine=", ".join(capabilities.engines),
        daemon_version=capabilities.daemon_version,
        memory_bytes=process.memory_bytes if process else None,
        uptime=process.uptime_us / 1e6 if process else None,
        streams=process.streams if process else None,
        runs=listed.counters.runs,
        failed_runs=listed.counters.failed_runs,
        uploaded_bytes=listed.counters.uploaded_bytes,
        graphs=tuple(_graph_count(graph) for graph in listed.graphs),
        emulated_memory_bytes=capabilities.emulated_memory_bytes or None,
        tera_flops_16=capabilities.tera_flops_16 or None,
        tera_flops_32=capabilities.tera_flops_32 or None,
        paced=capabilities.paced,
    )


def _graph_count(graph: Any) -> GraphCount:
    return GraphCount(
        graph_id=graph.graph_id.hex(),
        memory_bytes=graph.memory_bytes,
        runs=graph.runs,
        failed_runs=graph.failed_runs,
        queue=graph.queue_us / 1e6,
        compute=graph.compute_us / 1e6,
        engine=graph.engine,
    )


def between(before: Sample | None, after: Sample) -> Activity:
    """What happened between two samples of one accelerator; `before` is None at the first."""
    elapsed = None if before is None else after.at - before.at
    earlier = {graph.graph_id: graph for graph in before.graphs} if before else {}
    return Activity(
        sample=after,
        runs_per_second=_rate(before.runs if before else 0, after.runs, elapsed),
        graphs=tuple(
            _graph_activity(earlier.get(graph.graph_id), graph, elapsed) for graph in after.graphs
        ),
    )


def _graph_activity(
    before: GraphCount | None, after: GraphCount, elapsed: float | None
) -> GraphActivity:
    if before is not None and before.runs > after.runs:
        before = None  # it was loaded again
    base = before if before is not None and before.runs < after.runs else None
    runs = after.runs - (base.runs if base else 0)
    return GraphActivity(
        graph_id=after.graph_id,
        memory_bytes=after.memory_bytes,
        runs=after.runs,
        failed_runs=after.failed_runs,
        runs_per_second=_rate(before.runs if before else 0, after.runs, elapsed),
        queue=(after.queue - (base.queue if base else 0.0)) / runs if runs else None,
        compute=(after.compute - (base.compute if base else 0.0)) / runs if runs else None,
        engine=after.engine,
    )


def _rate(before: int, after: int, elapsed: float | None) -> float | None:
    """Runs a second; a count that fell began anew, as it does when a process was restarted."""
    if elapsed is None or elapsed <= 0:
        return None
    return (after - before if after >= before else after) / elapsed
