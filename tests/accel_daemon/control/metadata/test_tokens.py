"""Session tokens of version 2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.tokens import MAX_TOKENS, Tokens, read_seconds


def test_tokens_end_and_are_bounded() -> None:
    """A token ends with its life, and many tokens do not fill the memory."""
    now = 0.0
    tokens = Tokens(clock=lambda: now)
    first = tokens.issue(10)
    assert tokens.is_good(first)
    now = 10.0
    assert not tokens.is_good(first)
    now = 0.0
    for _ in range(MAX_TOKENS):
        tokens.issue(10)
    assert not tokens.is_good(first)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("1", 1), ("21600", 21600), ("007", 7), ("0", None), ("21601", None), ("-1", None),
     ("1.5", None), ("", None), ("x", None), ("٣", None), ("³", None), ("9" * 5000, None)],
)  # fmt: skip
def test_seconds(header: str, seconds: int | None) -> None:
    """1 to 21600 whole seconds, in ASCII digits."""
    assert read_seconds(header) == seconds


@given(st.text())
def test_any_header(header: str) -> None:
    """Nothing is raised, and what is read is in range."""
    seconds = read_seconds(header)
    assert seconds is None or 1 <= seconds <= 21_600
