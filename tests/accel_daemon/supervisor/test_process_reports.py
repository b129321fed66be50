"""What an accelerator process may write, and what is thrown away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.launch_order import Report
from accel_daemon.supervisor.process_reports import (
    MAX_COUNTERS,
    MAX_MESSAGE_CHARACTERS,
    printable,
    read_report,
)


@pytest.mark.parametrize(
    "report",
    [
        Report("ready", port=1),
        Report("ready", port=65_535, sandbox="strict (Landlock 7)"),
        Report("status", counters={"runs": 0, "streams": 2**63}),
        Report("failed", message="no engine"),
    ],
)
def test_reports_are_read(report: Report) -> None:
    """A well-formed report comes through unchanged."""
    assert read_report(report.to_line()) == report


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "ready",
        {},
        {"kind": "hello"},
        {"kind": ["ready"]},
        {"kind": "ready"},
        {"kind": "ready", "port": 0},
        {"kind": "ready", "port": 65_536},
        {"kind": "ready", "port": "80"},
        {"kind": "ready", "port": True},
        {"kind": "status", "counters": []},
        {"kind": "status", "counters": {"runs": -1}},
        {"kind": "status", "counters": {"runs": 1.5}},
        {"kind": "status", "counters": {"runs": 2**63 + 1}},
        {"kind": "status", "counters": {"ü": 1}},
        {"kind": "status", "counters": {"x" * 65: 1}},
        {"kind": "status", "counters": {str(i): i for i in range(MAX_COUNTERS + 1)}},
        {"kind": "failed", "message": 7},
        {"kind": "failed", "more": 7},
        {"kind": "ready", "port": 1, "sandbox": ["strict"]},
    ],
)
def test_what_is_no_report_is_not_taken_for_one(value: object) -> None:
    """Wrong types, unknown members and absurd sizes are refused."""
    assert read_report(json.dumps(value).encode()) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(line: bytes) -> None:
    """Reading never raises."""
    assert read_report(line) is None or line


def test_what_it_says_of_its_sandbox_is_one_short_line() -> None:
    """It ends up in logs and terminals."""
    report = read_report(Report("ready", port=1, sandbox="strict\n\x1b[2J" + "x" * 400).to_line())
    assert report is not None
    assert report.sandbox.startswith("strict ?[2Jx")
    assert len(report.sandbox) == 200


@given(st.text(max_size=3000))
def test_printable_is_one_short_line(text: str) -> None:
    """Nothing that a process says can fake a line of the log."""
    shown = printable(text)
    assert len(shown) <= MAX_MESSAGE_CHARACTERS
    assert shown.isprintable()
