"""A minute of chaos at a real daemon; hours on demand: `python -m tests.chaos --seconds 7200`."""

from __future__ import annotations

import sys

import pytest

from tests.chaos.campaign import campaign

SECONDS, PER_SECOND = 60.0, 0.9


@pytest.mark.timeout(900)
def test_a_minute_of_chaos(capsys: pytest.CaptureFixture[str]) -> None:
    """Breaks no invariant, although much goes wrong and much is asked."""
    report = campaign(seed=10, seconds=SECONDS, per_second=PER_SECOND)
    with capsys.disabled():
        sys.stdout.write(f"\n{report.to_text()}\n")
    assert not report.violations, report.to_text()
    assert sum(report.faults.values()) == round(SECONDS * PER_SECOND)
    assert report.outcomes["ok"] > 100
    assert report.replaced >= 1
