"""Which signatures may come again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.iam.replays import REMEMBERED, SignatureMemory
from accel_protocol.errors import BusyError, CredentialsError

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
ONCE = timedelta(0)
SECOND = timedelta(seconds=1)


def test_second_use_is_refused() -> None:
    """Even at the same moment; another signature is another request."""
    memory = SignatureMemory()
    memory.use("A", "1", NOW, ONCE)
    memory.use("A", "2", NOW, ONCE)
    for later in (NOW, NOW + SECOND, NOW + REMEMBERED):
        with pytest.raises(CredentialsError) as caught:
            memory.use("A", "1", later, ONCE)
        assert caught.value.reason == "SIGNATURE_REPLAYED"


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (2, True), (2.001, False), (60, False)])
def test_grace(seconds: float, good: bool) -> None:
    """An SDK's repetition is let through, and does not begin a grace of its own."""
    memory, grace = SignatureMemory(), 2 * SECOND
    memory.use("A", "1", NOW, grace)
    memory.use("A", "1", NOW + SECOND, grace)
    if good:
        memory.use("A", "1", NOW + seconds * SECOND, grace)
    else:
        with pytest.raises(CredentialsError):
            memory.use("A", "1", NOW + seconds * SECOND, grace)


def test_full_memory_refuses_its_key_only() -> None:
    """Nothing is forgotten before its time, and others do not suffer."""
    memory = SignatureMemory(capacity=2)
    for signature in ("1", "2"):
        memory.use("A", signature, NOW, ONCE)
    with pytest.raises(BusyError):
        memory.use("A", "3", NOW + REMEMBERED, ONCE)
    with pytest.raises(CredentialsError):
        memory.use("A", "1", NOW, ONCE)
    memory.use("B", "4", NOW, ONCE)
    memory.use("A", "3", NOW + REMEMBERED + SECOND, ONCE)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 9), st.integers(0, 900))))
def test_each_signature_is_good_once_within_its_time(
    uses: list[tuple[str, int, int]],
) -> None:
    """Whatever came between; and memory is bounded."""
    memory, now, accepted = SignatureMemory(capacity=5), NOW, dict[str, datetime]()
    for key, number, pause in uses:
        now += timedelta(seconds=pause)
        signature = f"{key}{number}"
        try:
            memory.use(key, signature, now, ONCE)
        except (BusyError, CredentialsError):
            continue
        assert signature not in accepted or now - accepted[signature] > REMEMBERED
        accepted[signature] = now
        assert len(memory) <= 10
