"""How many threads the doors have."""

from __future__ import annotations

import pytest

from client_runtime.serving.server import grpc_threads, threads


@pytest.mark.parametrize(
    ("wanted", "places", "least"), [(8, 0, 8), (8, 4, 20), (8, 100, 116), (300, 100, 300)]
)
def test_there_are_threads_to_refuse_with(wanted: int, places: int, least: int) -> None:
    """Requests without a place would else wait for a thread, and be refused only then."""
    assert grpc_threads(wanted, places) == least


def test_without_a_wish_there_are_enough_for_batches() -> None:
    """Whatever the number of CPUs."""
    assert threads(0) >= 64
    assert grpc_threads(0, 0) == threads(0)
