"""Promises held against measurements, and the report of them."""

from __future__ import annotations

import pytest

from benchmarks import table
from benchmarks.targets import QUICK, ROWS, Group, Row, Verdict, chosen, judge

ROW = Row("a-row", "work", "others", "group", ("x", "y"), 1.5)
FAST = Row("a-rate", "work", "others", "group", ("x",), 2.0, at_least=True)


def group(ours: float, **others: float) -> dict[str, Group]:
    """A measurement of two rounds."""
    values = {"ours": ours, **others}
    return {"group": Group("s", {name: [[value], [value]] for name, value in values.items()})}


@pytest.mark.parametrize(("ours", "verdict"), [(3.0, Verdict.MET), (3.01, Verdict.MISSED)])
def test_limit_is_of_the_sum_and_inclusive(ours: float, verdict: Verdict) -> None:
    """1.5 × of 1 s and 1 s are 3 s."""
    assert judge(ROW, group(ours, x=1.0, y=1.0)).verdict == verdict


@pytest.mark.parametrize(("ours", "verdict"), [(2.0, Verdict.MET), (1.99, Verdict.MISSED)])
def test_rates_have_to_reach_their_limit(ours: float, verdict: Verdict) -> None:
    """More calls a second are better, not worse."""
    assert judge(FAST, group(ours, x=1.0)).verdict == verdict


def test_missing_contestant_is_told_with_its_reason() -> None:
    """A row without a peer is not met and not missed."""
    groups = group(1.0, x=1.0)
    groups["group"].absent["y"] = "it is not installed"

    found = judge(ROW, groups)

    assert (found.verdict, found.why) == (Verdict.NOT_MEASURED, "it is not installed")


def test_group_that_was_not_asked_for_is_not_measured() -> None:
    """Rows that were left out say so."""
    assert judge(ROW, {}).verdict == Verdict.NOT_MEASURED


def test_unknown_row_is_refused() -> None:
    """A misspelt name is no empty table."""
    with pytest.raises(ValueError, match="tiny-flor"):
        chosen(["tiny-flor"])


def test_rows_keep_the_order_of_the_table() -> None:
    """Whatever the order they are asked for in; all when none is."""
    assert [row.name for row in chosen(["memory", "tiny-floor"])] == ["tiny-floor", "memory"]
    assert chosen([]) == list(ROWS)
    assert len(chosen(QUICK)) == len(QUICK)


def test_table_says_target_ratio_and_verdict() -> None:
    """One line has everything that was promised and found."""
    groups = group(4.0, x=1.0, y=1.0)

    text = " ".join(table.as_text([judge(ROW, groups)], groups, {}).split())

    assert "| a-row | work | others | ≤ 1.5 × | 2.00 × (2.00–2.00) | missed |" in text


def test_document_keeps_every_value() -> None:
    """Whoever has the JSON can do the statistics again."""
    groups = group(4.0, x=1.0, y=2.0)

    document = table.as_document([judge(ROW, groups)], groups, {}, {"cores": 2})

    assert document["groups"]["group"]["contestants"]["y"]["rounds"] == [[2.0], [2.0]]
    assert document["rows"][0]["ratio"]["median"] == pytest.approx(4 / 3)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.000_076, "s", "76 µs"),
        (0.0145, "s", "14.5 ms"),
        (6.5, "s", "6.5 s"),
        (0.0, "s", "0 µs"),
        (2590.4, "calls/s", "2590 calls/s"),
        (2_200_000_000, "bytes", "2200 MB"),
    ],
)
def test_quantities_are_readable(value: float, unit: str, text: str) -> None:
    """Three digits, in the unit that suits."""
    assert table.quantity(value, unit) == text
