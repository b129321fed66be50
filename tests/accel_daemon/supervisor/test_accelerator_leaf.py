"""When a certificate is replaced, and for whom one is good that a wrong clock made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from accel_daemon.clock import Readings
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor.accelerator_leaf import (
    CERTIFICATE_DAYS,
    is_due,
    issue_accelerator_leaf,
)
from accel_protocol.errors import ConfigurationError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)
AUTHORITY = create_authority(NOW, "Test CA")


@pytest.mark.parametrize(
    ("passed", "jump", "due"),
    [
        (0, 0, False),
        (29, 0, False),
        (30, 0, True),
        (0, 29, False),
        (0, 30, True),
        (0, 4000, True),
        (10, -9, False),
        (10, -11, True),
        (31, -20, True),
        (0, -4000, True),
    ],
)
def test_due(passed: int, jump: int, due: bool) -> None:
    """After a month by what passed or by the clock, and when the clock shows an earlier time."""
    issued = Readings(NOW, NOW)
    assert is_due(issued, Readings(NOW + (passed + jump) * DAY, NOW + passed * DAY)) == due


@pytest.mark.parametrize("jump", [-4000, -300, -2, 0, 2, 300, 4000])
def test_a_leaf_is_good_for_both_times(jump: int) -> None:
    """As far as the authority itself is; no clock stops a process from getting one."""
    steady = NOW + 365 * DAY
    wall = steady + jump * DAY
    leaf = issue_accelerator_leaf(AUTHORITY, "eia-1", now=Readings(wall, steady))
    made = x509.load_pem_x509_certificate(leaf.certificate_pem)
    authority = AUTHORITY.certificate
    begin = max(authority.not_valid_before_utc, min(wall, steady) - DAY)
    end = min(authority.not_valid_after_utc, max(wall, steady) + CERTIFICATE_DAYS * DAY)
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (begin, end)
    assert made.not_valid_before_utc < steady < made.not_valid_after_utc


def test_no_leaf_where_the_authority_is_good_at_neither_time() -> None:
    """It would be good for nobody."""
    late = NOW + 4000 * DAY
    with pytest.raises(ConfigurationError, match="clock"):
        issue_accelerator_leaf(AUTHORITY, "eia-1", now=Readings(late, late))
