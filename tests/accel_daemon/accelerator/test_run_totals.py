"""What the runs of one process came to."""

from __future__ import annotations

import dataclasses

from accel_daemon.accelerator.run_totals import RunTotals
from accel_daemon.accelerator.service import Counters
from accel_daemon.supervisor.process_reports import MAX_COUNTERS
from accel_protocol.errors import REASONS

# Those of faults and of the process itself, with room to spare.
OTHERS = 64


def test_sums() -> None:
    """Times in microseconds; a run on a graph that was loaded is a hit."""
    totals = RunTotals()
    totals.count(queue=0.5, compute=0.25, was_loaded=False)
    totals.count(queue=-1e-9, compute=0.25, was_loaded=True)
    totals.refuse("BUSY")
    totals.refuse("BUSY")
    assert totals.counters() == {
        "queue_us": 500_000,
        "compute_us": 500_000,
        "run_bytes_in": 0,
        "run_bytes_out": 0,
        "cache_hits": 1,
        "refused_BUSY": 2,
    }


def test_reasons_are_bounded() -> None:
    """What is no known reason is INTERNAL, and all of them fit into a report."""
    totals = RunTotals()
    for reason in (*REASONS, "MADE_UP"):
        totals.refuse(reason)
    assert totals.refusals["INTERNAL"] == 2
    assert "MADE_UP" not in totals.refusals
    assert len(totals.counters()) + len(dataclasses.fields(Counters)) + OTHERS <= MAX_COUNTERS
