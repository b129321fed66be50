"""Who may have an accelerator, and when it passes to somebody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.supervisor.tenancy import (
    IDLE_SECONDS,
    TICKET_SECONDS,
    Granted,
    NeedsRestart,
    Occupied,
    Tenancy,
    assign,
)

A, B = "arn:aws:iam::000000000000:user/a", "arn:aws:iam::000000000000:user/b"
NOW = 5000.0


def held(expires_in: float = 600.0) -> Tenancy:
    """A's third tenancy."""
    return Tenancy(3, A, NOW + expires_in)


@pytest.mark.parametrize(
    ("tenancy", "principal", "streams", "idle", "expected"),
    [
        (Tenancy(), A, 0, 0.0, Granted(Tenancy(1, A, NOW + TICKET_SECONDS))),
        (held(), A, 0, 0.0, Granted(Tenancy(3, A, NOW + TICKET_SECONDS))),
        (held(), A, 7, 0.0, Granted(Tenancy(3, A, NOW + TICKET_SECONDS))),
        (held(), B, 1, 1e6, Occupied(IDLE_SECONDS)),
        (held(-1), B, 1, 1e6, Occupied(IDLE_SECONDS)),
        (held(), B, 0, 10.0, Occupied(20.0)),
        (held(5), B, 0, 10.0, Occupied(5.0)),
        (held(), B, 0, 29.9, Occupied(0.5)),
        (held(), B, 0, 30.0, NeedsRestart(Tenancy(4, B, NOW + TICKET_SECONDS))),
        (held(0), B, 0, 0.0, NeedsRestart(Tenancy(4, B, NOW + TICKET_SECONDS))),
    ],
)
def test_assign(
    tenancy: Tenancy, principal: str, streams: int, idle: float, expected: object
) -> None:
    """Free or own: granted. Another's: only after 30 idle seconds or its last ticket."""
    assert assign(tenancy, principal, NOW, streams, idle) == expected


@given(
    st.sampled_from([None, A, B]),
    st.sampled_from([A, B]),
    st.none() | st.floats(-1e6, 1e6),
    st.integers(0, 5),
    st.floats(0, 1e6),
)
def test_no_principal_follows_another_without_a_restart(
    tenant: str | None, principal: str, expires_in: float | None, streams: int, idle: float
) -> None:
    """A process never serves two principals, and one with open streams is never taken away."""
    expires_at = None if expires_in is None else NOW + expires_in
    tenancy = Tenancy(3, tenant, expires_at)
    answer = assign(tenancy, principal, NOW, streams, idle)
    if isinstance(answer, Granted):
        assert tenant in (None, principal)
        assert answer.tenancy.number == tenancy.number
    elif isinstance(answer, NeedsRestart):
        assert tenant not in (None, principal)
        assert streams == 0
        assert answer.tenancy.number == tenancy.number + 1
    else:
        assert answer.retry_after > 0
