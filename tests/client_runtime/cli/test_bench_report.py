"""The result of `accel bench`, shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.cli.bench import executing
from client_runtime.cli.bench_report import (
    Emulated,
    FeedFacts,
    Result,
    Side,
    as_json,
    as_text,
)
from client_runtime.cli.differences import Difference
from client_runtime.cli.latencies import PARTS, Latencies, Part
from client_runtime.cli.verdict import Verdict

SIDE = Side(2.0, Latencies(0.03, 0.035, 0.04, 0.05, 0.06), 28.5)
RESULT = Result(
    model="detector/1",
    accelerator="eia-1 (host)",
    engine="tensorflow 2.21.0",
    runs=50,
    concurrency=1,
    batch=2,
    feeds={"image": FeedFacts("uint8", (2, 8, 8, 3), 384, random=True)},
    connect=0.05,
    uploaded_bytes=1 << 20,
    remote=SIDE,
    split={name: Part(0.035, 1.0) if name == "wire" else Part(0.0, 0.0) for name in PARTS},
    verdict=Verdict("wire", 1.0, ("The wire limits.", "More.")),
    local=replace(SIDE, throughput=100.0),
    differences=[Difference("y", 1e-6, 2e-5)],
)
REMOTE_ONLY = replace(RESULT, local=None, differences=None, note="not measured: no TensorFlow")


def test_text_of_both_sides() -> None:
    """All that was found, in words and columns."""
    text = as_text(RESULT)

    assert "image uint8 [2, 8, 8, 3] random, 384 B a call" in text
    assert "50 on each side, in turns, 1 at a time" in text
    assert "1.00 MiB of the model sent in the first call" in text
    cells = [line.split() for line in text.splitlines()]
    times = ["2.00", "s", "30.0", "ms", "35.0", "ms", "40.0", "ms", "50.0", "ms", "60.0", "ms"]
    assert ["remote", *times, "28.5", "57.0"] in cells
    assert ["local", *times, "100", "200"] in cells
    assert ["wire", "35.0", "ms", "100%", "█" * 30] in cells
    assert ["queue", "0.00", "ms", "0%"] in cells
    assert "differ from local TensorFlow's by at most 1e-06 absolute, 2e-05 relative" in text
    assert text.endswith("verdict      The wire limits. More.")


def test_text_without_a_local_side() -> None:
    """It says why there is none, and that nothing was compared."""
    text = as_text(REMOTE_ONLY)

    assert "local        not measured: no TensorFlow" in text
    assert "50, 1 at a time" in text
    assert "not compared" in text


def test_operations_and_what_they_take_on_each_type() -> None:
    """Where the accelerator counts them, in words and as JSON; else nothing is said."""
    emulated = Emulated(0, 5 * 10**9, {"eia1.medium": 0.005, "eia1.large": 0.0025})
    text = as_text(replace(RESULT, emulated=emulated))
    assert "5.00 GFLOP a call" in text
    assert ["eia1.large", "2.50", "ms"] in [line.split() for line in text.splitlines()]
    assert "GFLOP" not in as_text(RESULT)
    document = json.loads(as_json(replace(RESULT, emulated=emulated)))
    assert document["emulated"]["types_ms"]["eia1.medium"] == pytest.approx(5)
    assert json.loads(as_json(RESULT))["emulated"] is None


def test_results_that_differ_are_loud() -> None:
    """Outputs that cannot be compared in numbers are named."""
    text = as_text(replace(RESULT, differences=[Difference("labels", None, None)]))

    assert "DIFFER from local TensorFlow's: labels" in text


def test_json() -> None:
    """Milliseconds, bytes and shares; everything that the text says."""
    document = json.loads(as_json(RESULT))

    assert document["remote"]["p50_ms"] == pytest.approx(35)
    assert document["remote"]["split"]["wire"] == {"median_ms": pytest.approx(35), "share": 1.0}
    assert document["local"]["calls_per_second"] == 100
    assert document["differences"] == {"y": {"absolute": 1e-6, "relative": 2e-5}}
    assert document["verdict"] == {"limit": "wire", "share": 1.0, "text": "The wire limits. More."}
    assert document["feeds"]["image"]["shape"] == [2, 8, 8, 3]


def test_json_has_only_what_every_reader_knows() -> None:
    """What is infinite or absent is null."""
    endless = replace(RESULT, differences=[Difference("y", None, float("inf"))])

    assert json.loads(as_json(endless))["differences"]["y"] == {"absolute": None, "relative": None}
    assert json.loads(as_json(REMOTE_ONLY))["local"] is None
    assert json.loads(as_json(REMOTE_ONLY))["differences"] is None


def test_what_executed_the_calls_is_told_by_what_ran() -> None:
    """Other graphs on the accelerator are somebody else's."""
    before = [pb.GraphStatus(graph_id=b"a", runs=9), pb.GraphStatus(graph_id=b"b", runs=1)]
    after = [
        pb.GraphStatus(graph_id=b"a", runs=9, engine="tensorflow 2"),
        pb.GraphStatus(graph_id=b"b", runs=5, engine="openvino 1 (2.0 x)"),
    ]
    assert executing(before, after) == "openvino 1 (2.0 x)"
    assert executing([], []) == ""
