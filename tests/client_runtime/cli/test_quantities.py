"""Bytes, durations and shapes in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.cli.quantities import (
    bytes_text,
    seconds_text,
    shape_text,
    three_digits,
    uptime_text,
)
from client_runtime.models.saved_model import TensorInfo


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1024, "1.00 KiB"), (3 << 30, "3.00 GiB")],
)
def test_bytes(count: int, text: str) -> None:
    """Powers of 1024, with three digits."""
    assert bytes_text(count) == text


@given(st.integers(0, 1 << 60))
def test_bytes_are_short(count: int) -> None:
    """Never more than four digits below the largest unit."""
    text = bytes_text(count)

    assert text.endswith("TiB") or re.fullmatch(r"\d{1,3}(\.\d{1,2})? (B|[KMG]iB)", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 ms"), (0.0352, "35.2 ms"), (0.9999, "1.00 s"), (123.4, "123 s"), (0.5, "500 ms")],
)
def test_seconds(seconds: float, text: str) -> None:
    """Milliseconds below one second."""
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (-5, "-5.00")]
)
def test_three_digits(value: float, text: str) -> None:
    """Rounding up does not add a digit."""
    assert three_digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5.9, "5 s"), (61, "1 min 01 s"), (3780, "1 h 03 min"), (90_000, "1 d 01 h")],
)
def test_uptime(seconds: float, text: str) -> None:
    """The two largest units."""
    assert uptime_text(seconds) == text


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (TensorInfo("x:0", 4, (1, -1, -1, 3)), "uint8 [1, ?, ?, 3]"),
        (TensorInfo("x:0", 7, ()), "string []"),
        (TensorInfo("x:0", 0, None), "? [?…]"),
        (TensorInfo("x:0", 21, (1,)), "? [1]"),
    ],
)
def test_shapes(info: TensorInfo, text: str) -> None:
    """What is unknown is a question mark, and no dtype is an error."""
    assert shape_text(info) == text
