"""Percentiles and the split of a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.cli.latencies import PARTS, Measured, latencies, percentile, split
from client_runtime.transport.exchange import CallTiming

SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("percent", "wanted"), [(0, 1), (1, 1), (50, 50), (90, 90), (99, 99), (100, 100)]
)
def test_percentiles_of_a_hundred(percent: float, wanted: int) -> None:
    """The nearest rank."""
    assert percentile(list(range(1, 101)), percent) == wanted


@given(st.lists(SECONDS, min_size=1))
def test_figures_are_ordered_and_measured(seconds: list[float]) -> None:
    """Every figure is one of the calls, and they rise."""
    found = latencies(seconds)
    figures = [found.minimum, found.p50, found.p90, found.p99, found.maximum]

    assert figures == sorted(figures)
    assert set(figures) <= set(seconds)
    assert (figures[0], figures[-1]) == (min(seconds), max(seconds))


def test_one_slow_call_in_a_hundred_is_no_p99() -> None:
    """99 of 100 calls did not exceed p99."""
    assert latencies([1.0] * 99 + [9.0]).p99 == 1.0


@given(st.lists(st.builds(CallTiming, *[SECONDS] * 7), min_size=1))
def test_shares_add_up(timings: list[CallTiming]) -> None:
    """Each part has a share, and together they are all of a call, or nothing of none."""
    parts = split(timings)

    assert tuple(parts) == PARTS
    assert sum(part.share for part in parts.values()) in (pytest.approx(1), 0)


def test_split_takes_medians() -> None:
    """One interrupted call does not change the picture."""
    usual, odd = CallTiming(5, 1, 2, 0, 0, 1, 1), CallTiming(99, 1, 95, 0, 0, 1, 1)

    assert split([usual, odd, usual])["wire"].median == 2


def test_throughput() -> None:
    """Calls by the time in which they were made, one or several at once; nothing by nothing."""
    assert Measured([1.0, 1.0], [], wall=1.0).throughput == 2
    assert Measured().throughput == 0
