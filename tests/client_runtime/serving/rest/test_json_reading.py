"""JSON as RapidJSON reads it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.rest import json_grammar
from client_runtime.serving.rest.json_reading import read_object, refuse_overflow
from client_runtime.serving.statuses import ServingError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_DEEP = b"[" * 500_000 + b"]" * 500_000


@given(_VALUES, st.booleans())
def test_both_readers_read_what_python_writes(value: Any, ascii_only: bool) -> None:
    """The exact one and the fast one agree, also on floats."""
    body = json.dumps({"a": value}, ensure_ascii=ascii_only).encode("utf-8", "replace")
    exactly = json_grammar.read(body)
    assert repr(exactly) == repr(read_object(body))
    assert repr(exactly) == repr(json.loads(body))


@pytest.mark.parametrize(
    ("body", "what", "offset"),
    [
        (" ", "The document is empty.", 1),
        ("x", "Invalid value.", 0),
        ('{"a":[1,]}', "Invalid value.", 8),
        ('{"a":', "Invalid value.", 5),
        ('{"a":nul}', "Invalid value.", 8),
        ('{"a":Infinit}', "Invalid value.", 12),
        ('{"a":-}', "Invalid value.", 6),
        ('{"a":+1}', "Invalid value.", 5),
        ("{", "Missing a name for object member.", 1),
        ('{"a":1,}', "Missing a name for object member.", 7),
        ('{"a" 1}', "Missing a colon after a name of object member.", 5),
        ('{"a":01}', "Missing a comma or } after an object member.", 6),
        ('{"a":[1]]}', "Missing a comma or } after an object member.", 8),
        ("[1 2]", "Missing a comma or ] after an array element.", 3),
        ('{"é":"\\x"}', "Invalid escape character in string.", 7),
        ('{"a":"\\u12g4"}', "Incorrect hex digit after \\u escape in string.", 6),
        ('{"a":"\\ud800\\u0041"}', "The surrogate pair in string is invalid.", 6),
        ('{"a":"\\udc00"}', "The surrogate pair in string is invalid.", 6),
        ('{"a":"\\udc00\\udc00"}', "The surrogate pair in string is invalid.", 6),
        ('{"a":"b', "Missing a closing quotation mark in string.", 7),
        ('{"a":"\n"}', "Invalid encoding in string.", 6),
        ('{"a":-1e999}', "Number too big to be stored in double.", 5),
        ('{"a":1.}', "Miss fraction part in number.", 7),
        ('{"a":1e+}', "Miss exponent in number.", 8),
    ],
)
def test_errors(body: str, what: str, offset: int) -> None:
    """Each names what is wrong, and the byte where."""
    with pytest.raises(ServingError) as refused:
        json_grammar.read(body.encode())
    assert refused.value.message == f"JSON Parse error: {what} at offset: {offset}"


def test_the_fast_reader_says_the_same() -> None:
    """What it does not take, the exact one judges."""
    with pytest.raises(ServingError, match=r"Invalid value\. at offset: 8"):
        read_object(b'{"a":[1,]}')
    with pytest.raises(ServingError, match=r"JSON Value: \[1\] Is not object"):
        read_object(b"[1]")
    with pytest.raises(ServingError, match=r"The document is empty$"):
        read_object(b"")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", math.nan),
        ("-NaN", math.nan),
        ("Inf", math.inf),
        ("-Inf", -math.inf),
        ("Infinity", math.inf),
        ("-Infinity", -math.inf),
    ],
)
def test_no_finite_numbers(text: str, value: float) -> None:
    """They are written bare."""
    for read in (json_grammar.read, read_object):
        assert repr(read(f'{{"a": [{text}]}}'.encode())) == repr({"a": [value]})


def test_numbers_keep_their_kind() -> None:
    """Integers stay integers as long as 64 bits hold them."""
    body = b"[3, 3.0, 3e0, -0, 18446744073709551615, 18446744073709551616, -9223372036854775809]"
    expected = [3, 3.0, 3.0, 0, 2**64 - 1, 1.8446744073709552e19, -9.223372036854775808e18]
    assert list(map(repr, json_grammar.read(body))) == list(map(repr, expected))


def test_the_first_of_several_members_counts() -> None:
    """As RapidJSON's FindMember finds it."""
    for more in ("", ', "c": Inf'):
        value = read_object(f'{{"a": 1, "b": 2, "a": {{"a": 3}}{more}}}'.encode())
        assert (value["a"], value["b"]) == (1, 2)


def test_what_follows_the_document_is_ignored() -> None:
    """And so is a byte order mark before it."""
    assert read_object(b'\xef\xbb\xbf {"a": 1}} x') == {"a": 1}
    assert read_object(b'\xef\xbb\xbf {"a": Inf}} x') == {"a": math.inf}


def test_bytes_that_are_no_text_stay_what_they_are() -> None:
    """They come back as they were by `surrogateescape`."""
    for body in (b'{"a": "\xff\xc3\xa9"}', b'{"a": "\xff\xc3\xa9", "b": Inf}'):
        assert read_object(body)["a"].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


def test_deep_documents() -> None:
    """No depth ends the reader."""
    assert read_object(b'{"a": [1], "b": ' + _DEEP + b"}")["a"] == [1]


def test_documents_that_are_deep_for_memory_alone() -> None:
    """A bound is far beyond what anyone means."""
    with pytest.raises(ServingError, match="nested too deep"):
        read_object(b"[" * (2**20 + 2))


def test_overflow_is_found_afterwards() -> None:
    """Infinity itself is none."""
    refuse_overflow(b'{"a": [Infinity, 1e300, 123]}')
    with pytest.raises(ServingError, match="Number too big"):
        refuse_overflow(b'{"a": [Infinity, 1e309]}')


def test_long_integers() -> None:
    """They are floats, and may be too big for that."""
    assert read_object(b'{"a": ' + b"9" * 25 + b"}")["a"] == 10**25 - 1
    with pytest.raises(ServingError, match="Number too big"):
        read_object(b'{"a": ' + b"9" * 5000 + b"}")
