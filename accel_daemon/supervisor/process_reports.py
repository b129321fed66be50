"""Reads what an accelerator process writes. Pure.

The process runs strangers' graphs, so nothing in it is trusted: not its types, not its size, and
not the characters that would end up in the log.
"""

from __future__ import annotations

from dataclasses import asdict, replace

from accel_daemon.launch_order import AuditedDecision, Report
from accel_protocol.lanes import is_local_name

MAX_COUNTERS = 192
MAX_MESSAGE_CHARACTERS = 500
MAX_SANDBOX = 200  # characters
MAX_AUDITED_CHARACTERS = 200
_KINDS = ("ready", "status", "failed", "audit")
_MAX_COUNT = 2**63


def read_report(line: bytes) -> Report | None:
    """The report in a line, with a message fit for the log; None when the line is no report."""
    try:
        report = Report.from_line(line)
        is_report = _is_well_formed(report)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    if not is_report:
        return None
    decision = None if report.decision is None else _clean(report.decision)
    sandbox = printable(report.sandbox)[:MAX_SANDBOX]
    return replace(report, message=printable(report.message), decision=decision, sandbox=sandbox)


def printable(text: str) -> str:
    """The text on one line, without control characters, cut to MAX_MESSAGE_CHARACTERS."""
    flat = " ".join(text[: 4 * MAX_MESSAGE_CHARACTERS].split())
    return "".join(c if c.isprintable() else "?" for c in flat)[:MAX_MESSAGE_CHARACTERS]


def _is_well_formed(report: Report) -> bool:
    return (
        report.kind in _KINDS
        and _is_count(report.port, 65_535)
        and _is_count(report.lane_port, 65_535)
        and isinstance(report.local_lane, str)
        and (not report.local_lane or is_local_name(report.local_lane))
        and isinstance(report.message, str)
        and isinstance(report.sandbox, str)
        and isinstance(report.counters, dict)
        and len(report.counters) <= MAX_COUNTERS
        and all(
            isinstance(name, str) and name.isascii() and len(name) <= 64 and _is_count(value)
            for name, value in report.counters.items()
        )
        and (report.kind != "ready" or report.port > 0)
        and (report.kind == "audit") == (report.decision is not None)
        and (report.decision is None or _is_decision(report.decision))
    )


def _is_decision(decision: AuditedDecision) -> bool:
    members = asdict(decision)
    allowed = members.pop("allowed")
    return isinstance(allowed, bool) and all(isinstance(one, str) for one in members.values())


def _clean(decision: AuditedDecision) -> AuditedDecision:
    def short(text: str) -> str:
        return printable(text)[:MAX_AUDITED_CHARACTERS]

    return AuditedDecision(
        who=short(decision.who),
        action=short(decision.action),
        allowed=decision.allowed,
        reason=short(decision.reason),
        request_id=short(decision.request_id),
        graph=short(decision.graph),
    )


def _is_count(value: object, maximum: int = _MAX_COUNT) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= maximum
