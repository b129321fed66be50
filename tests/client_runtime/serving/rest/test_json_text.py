"""JSON as it is written and quoted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.rest.json_text import debug_text, encoded, quoted, type_name


@given(st.text())
def test_strings_read_back(text: str) -> None:
    """Whatever is in them."""
    assert json.loads(quoted(text)) == text


def test_escapes() -> None:
    """Short ones where there are, upper-case digits elsewhere; nothing else is escaped."""
    assert quoted('"\\/\b\f\n\r\t\x1f\x7fé') == '"\\"\\\\/\\b\\f\\n\\r\\t\\u001F\x7fé"'


def test_bytes_that_are_no_text() -> None:
    """They are written as they were read; what never was a byte is replaced."""
    assert encoded("\udcff") == b"\xff"
    assert encoded("a\ud800") == b"a?"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
        ([1, "a", True, False], '[1, "a", true, false]'),
        (
            {"a": [1, 2], "b": {"c": 0.5}},
            '{\n    "a": [1, 2],\n    "b": {\n        "c": 0.5\n    }\n}',
        ),
        ([{"a": 1}], '[{\n        "a": 1\n    }]'),
        ([float("nan"), 1], "["),
        ([1, float("inf"), 1], "[1, "),
        (-0.0, "-0.0"),
        (2.0, "2.0"),
        (1e20, "100000000000000000000.0"),
        (1e22, "1e22"),
        (1.5e-7, "1.5e-7"),
        (1e-5, "0.00001"),
        (123.25, "123.25"),
        (2**64, "18446744073709552000.0"),
        (2**64 - 1, "18446744073709551615"),
    ],
)
def test_quoted_values(value: Any, text: str) -> None:
    """As RapidJSON writes them; what has no JSON ends the text."""
    assert debug_text(value) == text


def test_quoted_values_are_cut_off() -> None:
    """After the part that reaches 256 bytes, which is written to its end."""
    assert debug_text(["a" * 300, 1]) == f'["{"a" * 300}"'
    assert debug_text([0] * 1000) == "[0" + ", 0" * 85
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert debug_text(deep) == "[" * 256


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "Null"),
        (True, "True"),
        (False, "False"),
        (1, "Number"),
        (1.5, "Number"),
        ("", "String"),
        ([], "Array"),
        ({}, "Object"),
    ],
)
def test_type_names(value: Any, name: str) -> None:
    """RapidJSON has two types of truth values."""
    assert type_name(value) == name
