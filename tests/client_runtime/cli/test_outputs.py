"""Showing and writing what a model answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_protocol.errors import CallError
from client_runtime.cli.inputs import parse_json
from client_runtime.cli.outputs import as_array, as_json, first_values, summary, write

OUTPUTS: dict[str, Any] = {
    "boxes": np.arange(8, dtype=np.float32).reshape(1, 2, 4) / 3,
    "count": np.int64(2),
    "label": b"seven",
    "labels": np.array([b"one", b"\xff"], dtype=object),
}


def test_summary() -> None:
    """A line for each output, in columns."""
    assert summary(OUTPUTS).splitlines() == [
        "boxes   float32 [1, 2, 4]  0, 0.333333, 0.666667, 1, 1.33333, 1.66667, …",
        "count   int64 []           2",
        "label   string []          'seven'",
        r"labels  string [2]         'one', '\\xff'",
    ]


def test_summary_of_nothing() -> None:
    """A model without outputs has no lines."""
    assert summary({}) == ""


def test_texts_cannot_command_the_terminal() -> None:
    """Control characters are shown, not sent, and long texts are cut."""
    shown = first_values(np.array([b"\x1b[2J" + b"x" * 100], dtype=object))

    assert shown.isprintable()
    assert len(shown) < 50


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([1.5, np.nan, np.inf, -np.inf], np.float32), "[1.5, NaN, Infinity, -Infinity]"),
        (np.array([True, False]), "[true, false]"),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.array([1.5], ml_dtypes.bfloat16), "[1.5]"),
        (np.array([1 + 2j], np.complex64), "[[1.0, 2.0]]"),
        (np.zeros((2, 0), np.float32), "[[], []]"),
        (b"a\x00", r'"a\u0000"'),
        (b"\xff\x00", '{"b64": "/wA="}'),
        (np.array([[b"a"]], dtype=object), '[["a"]]'),
    ],
)
def test_json_values(value: Any, wanted: str) -> None:
    """Each kind of value as documented."""
    assert as_json({"y": value}) == f'{{"y": {wanted}}}'


@given(st.lists(st.binary()))
def test_bytes_return_from_json(values: list[bytes]) -> None:
    """What is written as JSON can be fed again, byte for byte."""
    text = as_json({"y": np.array(values, dtype=object)})

    read = parse_json("y", json.dumps(json.loads(text)["y"]))
    assert [one.encode() if isinstance(one, str) else one for one in read] == values


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=3)))
def test_numbers_return_from_json(array: Any) -> None:
    """float32 values survive JSON exactly."""
    values = json.loads(as_json({"y": array}))["y"]

    np.testing.assert_array_equal(np.asarray(values, np.float32), array)


def test_npz_is_read_without_pickle(tmp_path: Path) -> None:
    """Arrays, scalars and strings, also under names that np.savez cannot take."""
    path = tmp_path / "a.npz"
    write({**OUTPUTS, "file": np.float32(1), "a/b": np.array([2], ml_dtypes.bfloat16)}, path)

    with np.load(path, allow_pickle=False) as read:
        np.testing.assert_array_equal(read["boxes"], OUTPUTS["boxes"])
        assert (read["count"], read["file"], read["a/b"].tolist()) == (2, 1, [2.0])
        assert read["label"].item() == b"seven"
        assert read["labels"].tolist() == [b"one", b"\xff"]


def test_npz_cannot_hold_strings_with_trailing_zeros(tmp_path: Path) -> None:
    """They would come back shorter; the error names the format that can."""
    with pytest.raises(CallError, match="zero byte") as caught:
        write({"y": b"a\x00"}, tmp_path / "a.npz")

    assert ".json" in caught.value.remedy
    assert not (tmp_path / "a.npz").exists()


def test_json_file(tmp_path: Path) -> None:
    """A .json file holds what --json prints."""
    write(OUTPUTS, tmp_path / "a.json")

    assert (tmp_path / "a.json").read_text() == as_json(OUTPUTS) + "\n"


def test_bytes_keep_their_trailing_zeros() -> None:
    """NumPy's own bytes dtype would drop them."""
    assert as_array(b"a\x00").item() == b"a\x00"
