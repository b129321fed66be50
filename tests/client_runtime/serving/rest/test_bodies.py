"""Compressed bodies, and their bounds."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.rest import bodies
from client_runtime.serving.statuses import ServingError


@given(st.lists(st.binary(), min_size=1))
def test_round_trip(parts: list[bytes]) -> None:
    """Several compressed parts after each other are one body."""
    whole = b"".join(parts)
    assert bodies.unpacked(b"".join(map(bodies.packed, parts)), len(whole)) == whole


def test_a_bound_is_kept_without_unpacking_all() -> None:
    """A small body may stand for a large one."""
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 20_000
    tracemalloc.start()
    try:
        with pytest.raises(bodies.TooLargeError, match="more than 1000 bytes"):
            bodies.unpacked(bomb, 1000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert bodies.unpacked(gzip.compress(bytes(1000)), 1000) == bytes(1000)


@pytest.mark.parametrize("body", [b"\x1f\x8bno", gzip.compress(b"abc", mtime=0)[:-1]])
def test_no_gzip(body: bytes) -> None:
    """Neither noise nor a part."""
    with pytest.raises(ServingError):
        bodies.unpacked(body, 1000)


def test_what_is_unpacked_already() -> None:
    """Something in front may have done it."""
    assert bodies.unpacked(b'{"a": 1}', 1000) == b'{"a": 1}'


@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("", False),
        ("identity, xgzip", False),
    ],
)
def test_what_clients_accept(header: str, accepts: bool) -> None:
    """By name, unless its weight is 0."""
    assert bodies.accepts_gzip(header) is accepts


def test_room_is_shared_and_given_back() -> None:
    """Also by a request that was refused."""
    held = bodies.HeldBytes(10)
    with held.share() as take:
        take(6)
        with held.share() as other:
            other(4)
            with pytest.raises(ServingError):
                other(1)
        take(4)
    with held.share() as take:
        take(10)
