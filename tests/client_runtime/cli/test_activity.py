"""Figures from two looks at an accelerator."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.cli.activity import GraphCount, Sample, between, read_sample

GRAPH = GraphCount("ab" * 32, 1000, runs=10, failed_runs=1, queue=0.1, compute=2.0)
SAMPLE = Sample(
    at=100.0,
    id="eia-1",
    type="host",
    ordinal=0,
    sandbox="none",
    engine="tensorflow 2.21.0",
    daemon_version="0.1.0",
    memory_bytes=900,
    uptime=60.0,
    streams=2,
    runs=10,
    failed_runs=1,
    uploaded_bytes=5,
    graphs=(GRAPH,),
)


def later(seconds: float, graph: GraphCount, runs: int | None = None) -> Sample:
    """The sample after some seconds."""
    at = SAMPLE.at + seconds
    return replace(SAMPLE, at=at, runs=graph.runs if runs is None else runs, graphs=(graph,))


def test_first_look_has_means_and_no_rates() -> None:
    """Means are over everything so far."""
    activity = between(None, SAMPLE)

    assert activity.runs_per_second is None
    assert activity.graphs[0].runs_per_second is None
    assert activity.graphs[0].compute == pytest.approx(0.2)
    assert activity.graphs[0].queue == pytest.approx(0.01)
    assert activity.graphs_bytes == 1000


def test_second_look_tells_what_happened_in_between() -> None:
    """Rates and means are of the ten runs in between alone."""
    after = replace(GRAPH, runs=20, queue=0.2, compute=7.0)

    activity = between(SAMPLE, later(2, after))

    assert activity.runs_per_second == 5
    assert activity.graphs[0].runs_per_second == 5
    assert activity.graphs[0].compute == pytest.approx(0.5)
    assert activity.graphs[0].queue == pytest.approx(0.01)


def test_idle_keeps_the_means() -> None:
    """When nothing ran, the means are those of all runs, and the rate is nought."""
    activity = between(SAMPLE, later(2, GRAPH))

    assert activity.graphs[0].runs_per_second == 0
    assert activity.graphs[0].compute == pytest.approx(0.2)


@pytest.mark.parametrize("runs", [0, 4])
def test_counts_that_fell_began_anew(runs: int) -> None:
    """A restarted process, or a graph loaded again, gives no negative rate."""
    after = replace(GRAPH, runs=runs, queue=0.0, compute=float(runs))

    activity = between(SAMPLE, later(2, after))

    assert activity.runs_per_second == runs / 2
    assert activity.graphs[0].runs_per_second == runs / 2
    assert activity.graphs[0].compute == (1.0 if runs else None)


def test_a_graph_that_is_new() -> None:
    """All its runs were in between."""
    after = replace(GRAPH, graph_id="cd" * 32, runs=4, compute=2.0)

    assert between(SAMPLE, later(2, after)).graphs[0].runs_per_second == 2
    assert between(SAMPLE, later(2, after)).graphs[0].compute == 0.5


@given(
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(0, 1000),
)
def test_no_figure_is_negative(
    before: int, after: int, compute: float, more: float, elapsed: float
) -> None:
    """Whatever the counts do, rates and means are at least nought."""
    first = replace(GRAPH, runs=before, compute=compute if before else 0.0)
    second = replace(GRAPH, runs=after, compute=first.compute + more)
    start = replace(SAMPLE, runs=before, graphs=(first,))

    found = between(start, later(elapsed, second)).graphs[0]
    assert (found.runs_per_second or 0) >= 0
    assert (found.compute or 0) >= 0


def test_reading_messages() -> None:
    """Every figure of the messages is in the sample, in seconds and bytes."""
    capabilities = pb.GetCapabilitiesResponse(
        accelerator_id="eia-1",
        accelerator_type="host",
        engines=["tensorflow 2.21.0"],
        sandbox="none",
        daemon_version="0.1.0",
    )
    listed = pb.ListResponse(
        graphs=[
            pb.GraphStatus(
                graph_id=b"\xab" * 32,
                memory_bytes=1000,
                runs=10,
                failed_runs=1,
                queue_us=100_000,
                compute_us=2_000_000,
            )
        ],
        counters=pb.Counters(runs=10, failed_runs=1, uploaded_bytes=5),
        process=pb.ProcessStatus(memory_bytes=900, uptime_us=60_000_000, streams=2),
    )

    assert read_sample(100.0, 0, capabilities, listed) == SAMPLE


def test_older_accelerators_tell_less() -> None:
    """What is not told is unknown, not nought."""
    sample = read_sample(0.0, None, pb.GetCapabilitiesResponse(), pb.ListResponse())

    assert (sample.memory_bytes, sample.uptime, sample.streams) == (None, None, None)


def test_what_executes_a_graph_is_what_does_so_now() -> None:
    """A compiled engine may have taken over since the earlier look."""
    before = replace(SAMPLE, graphs=(replace(GRAPH, engine="tensorflow 2"),))
    after = replace(SAMPLE, graphs=(replace(GRAPH, engine="openvino 1 (2.0 x)"),))
    assert [one.engine for one in between(before, after).graphs] == ["openvino 1 (2.0 x)"]
