"""What supervisor and process say to each other comes out as it went in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from accel_daemon.iam.callers import AssumedRole, Principal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.launch_order import AuditedDecision, HolderPolicies, Notice, Report

DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}
SESSION = AssumedRole("runner", "AROA" + "A" * 17, "nightly", "000000000000")
HOLDER = HolderPolicies(
    principal=Principal("ann", "000000000000"),
    access_key_id="AKIATESTTESTTESTTEST",
    version=7,
    policies=PolicySet((DOCUMENT,), boundary=(), session=None),
    resource_arn="arn:aws:elastic-inference:::x/y",
    keys={"aws:ResourceTag/ü": ["a", "b"]},
    ended=3,
)


@pytest.mark.parametrize(
    "notice",
    [
        Notice("drain"),
        Notice("revoke", ("AKIA",), ("arn",)),
        Notice("policies", holder=HOLDER),
        Notice("policies", holder=replace(HOLDER, principal=SESSION)),
    ],
)
def test_notices(notice: Notice) -> None:
    """One line each; an empty boundary stays empty, which is not the same as none."""
    line = notice.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Notice.from_line(line) == notice


@pytest.mark.parametrize(
    "report",
    [
        Report("ready", port=1),
        Report("audit", decision=AuditedDecision("who", "action", False, "why", "id", "00")),
    ],
)
def test_reports(report: Report) -> None:
    """With and without a decision."""
    assert Report.from_line(report.to_line()) == report
