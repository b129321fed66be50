"""How accelerators are shown."""

from __future__ import annotations

import json
from dataclasses import replace

from client_runtime.cli.activity import Activity, GraphActivity, Sample
from client_runtime.cli.activity_table import Unwatched, as_json, as_text

SAMPLE = Sample(
    at=0.0,
    id="eia-1",
    type="host",
    ordinal=1,
    sandbox="none",
    engine="tensorflow 2.21.0",
    daemon_version="0.1.0",
    memory_bytes=800 << 20,
    uptime=3780.0,
    streams=3,
    runs=1204,
    failed_runs=2,
    uploaded_bytes=1 << 20,
    graphs=(),
)
BUSY = GraphActivity("ab" * 32, 60 << 20, 1200, 2, 12.5, 0.0001, 0.0352, "openvino 1 (2.1 x)")
IDLE = GraphActivity("cd" * 32, 5 << 20, 0, 0, None, None, None)
ACTIVITY = Activity(SAMPLE, 12.5, (IDLE, BUSY))
OTHER = Unwatched("eia-0", "eia2.medium", 0, "Ok; --accelerator looks into it")


def test_text() -> None:
    """Accelerators by ordinal, the busiest graph first."""
    assert as_text([ACTIVITY, OTHER], "accel smi").splitlines() == [
        "accel smi",
        "",
        "0  eia-0  eia2.medium  Ok; --accelerator looks into it",
        "",
        "1  eia-1  host  tensorflow 2.21.0  sandbox none",
        "   up 1 h 03 min   process 800 MiB   graphs 2, 65.0 MiB   streams 3   "
        "runs 1204 (12.5/s)   errors 2   uploaded 1.00 MiB",
        "   GRAPH           MEMORY  RUNS  RUNS/S    QUEUE  COMPUTE  ERRORS  ENGINE",
        "   abababababab  60.0 MiB  1200    12.5  0.10 ms  35.2 ms       2  openvino 1 (2.1 x)",
        "   cdcdcdcdcdcd  5.00 MiB     0       -        -        -       0  -",
    ]


def test_what_is_not_known_is_a_dash() -> None:
    """An older accelerator, seen once, with nothing loaded."""
    sample = replace(SAMPLE, ordinal=None, memory_bytes=None, uptime=None, streams=None, sandbox="")
    text = as_text([Activity(sample, None, ())], "accel smi")

    assert "-  eia-1  host  tensorflow 2.21.0  sandbox -" in text
    assert "up -   process -   graphs 0, 0 B   streams -   runs 1204   errors" in text
    assert "GRAPH" not in text


def test_an_emulated_type_shows_its_figures() -> None:
    """Throughput with the type, and what graphs may take."""
    sample = replace(
        SAMPLE, emulated_memory_bytes=2 << 30, tera_flops_16=8, tera_flops_32=1, paced=True
    )
    text = as_text([Activity(sample, None, ())], "accel smi")
    assert "1/8 TFLOPS, paced" in text
    assert "graphs 0, 0 B of 2.00 GiB" in text


def test_nothing_commands_the_terminal() -> None:
    """Texts of the other side are shown without control characters."""
    sly = replace(SAMPLE, engine="\x1b[2Jtensorflow", sandbox="a\nb", type="\r")
    text = as_text([Activity(sly, None, ()), replace(OTHER, why="\x07")], "accel smi")

    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) == 6


def test_json() -> None:
    """Whole ids, plain numbers, null for what is unknown."""
    first, second = json.loads(as_json([ACTIVITY, OTHER]))["accelerators"]

    assert first == {
        "id": "eia-0",
        "type": "eia2.medium",
        "ordinal": 0,
        "why": "Ok; --accelerator looks into it",
        "watched": False,
    }
    assert (second["id"], second["watched"], second["uptime_seconds"]) == ("eia-1", True, 3780)
    assert second["graphs_memory_bytes"] == 65 << 20
    idle, busy = second["graphs"]
    assert busy["queue_ms"] == 0.1
    assert (idle["id"], idle["runs_per_second"], idle["compute_ms"]) == ("cd" * 32, None, None)


def test_no_accelerators() -> None:
    """Nothing to show is shown as nothing."""
    assert as_text([], "accel smi") == "accel smi"
    assert json.loads(as_json([])) == {"accelerators": []}
