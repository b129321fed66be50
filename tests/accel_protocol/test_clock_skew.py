"""Which time a refusal tells."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accel_protocol.clock_skew import server_time
from accel_protocol.errors import BusyError, CredentialsError


def test_the_daemon_s_time() -> None:
    """As the daemon writes it."""
    error = CredentialsError(
        "", reason="CLOCK_SKEW", fields={"server_time": "2026-01-31T12:00:00+00:00"}
    )
    assert server_time(error) == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "noon", "2026-01-31", "2026-01-31T12:00:00", "1" * 5000])
def test_what_is_no_time(text: str) -> None:
    """Is not signed with."""
    fields = {"server_time": text}
    assert server_time(CredentialsError("", reason="CLOCK_SKEW", fields=fields)) is None


def test_other_refusals_tell_none() -> None:
    """Nor does one that says nothing."""
    fields = {"server_time": "2026-01-31T12:00:00+00:00"}
    assert server_time(CredentialsError("", reason="SIGNATURE_MISMATCH", fields=fields)) is None
    assert server_time(BusyError("", fields=fields)) is None
    assert server_time(CredentialsError("", reason="CLOCK_SKEW")) is None
