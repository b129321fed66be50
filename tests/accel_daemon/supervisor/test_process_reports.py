"""What an accelerator process may write, and what is thrown away."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.launch_order import AuditedDecision, Report
from accel_daemon.supervisor.process_reports import (
    MAX_AUDITED_CHARACTERS,
    MAX_COUNTERS,
    MAX_MESSAGE_CHARACTERS,
    printable,
    read_report,
)

DECISION = {"who": "", "action": "", "allowed": False, "reason": "", "request_id": ""}


def test_decisions_are_made_fit_for_the_log() -> None:
    """The process that writes them runs strangers' graphs."""
    wild = AuditedDecision("a\nb\x1b", "x" * 5000, False, "why", "id")
    read = read_report(Report("audit", decision=wild).to_line())
    assert read is not None
    assert read.decision == AuditedDecision(
        "a b?", "x" * MAX_AUDITED_CHARACTERS, False, "why", "id"
    )


@pytest.mark.parametrize(
    "report",
    [
        Report("ready", port=1),
        Report("ready", port=65_535, sandbox="strict (Landlock 7)"),
        Report("ready", port=1, lane_port=2, local_lane="accel-lane-" + "a" * 32),
        Report("status", counters={"runs": 0, "streams": 2**63}),
        Report("failed", message="no engine"),
        Report("audit", decision=AuditedDecision("arn", "a:B", True, "why", "id", "00")),
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
        {"kind": "ready", "port": 1, "lane_port": -1},
        {"kind": "ready", "port": 1, "lane_port": "2"},
        {"kind": "ready", "port": 1, "local_lane": 2},
        {"kind": "ready", "port": 1, "local_lane": "/run/another/socket"},
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
        {"kind": "audit"},
        {"kind": "audit", "decision": {}},
        {"kind": "audit", "decision": "yes"},
        {"kind": "audit", "decision": {**DECISION, "allowed": "yes"}},
        {"kind": "audit", "decision": {**DECISION, "who": 7}},
        {"kind": "audit", "decision": {**DECISION, "more": ""}},
        {"kind": "status", "decision": DECISION},
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
