"""Examples of classify and regress."""

from __future__ import annotations

import math

import pytest

from client_runtime.serving.rest.example_reading import has_infinity, read_examples
from client_runtime.serving.rest.json_reading import read_object
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.inference_pb2 import Input


def read(body: str) -> Input:
    """The examples of a body."""
    return read_examples(read_object(body.encode()))


def test_kinds_of_features() -> None:
    """JSON's kinds of values decide."""
    body = """{"examples": [
        {"t": ["a", {"b64": "aGk="}], "f": [8.0, NaN, -Infinity], "i": 20},
        {"t": "b", "f": 6.5, "i": [1, true, false], "none": []}
    ]}"""
    first, second = (example.features.feature for example in read(body).example_list.examples)
    assert list(first["t"].bytes_list.value) == [b"a", b"hi"]
    assert first["f"].float_list.value[0] == 8.0
    assert math.isnan(first["f"].float_list.value[1])
    assert first["f"].float_list.value[2] == -math.inf
    assert list(first["i"].int64_list.value) == [20]
    assert list(second["f"].float_list.value) == [6.5]
    assert list(second["i"].int64_list.value) == [1, 1, 0]
    assert second["none"].WhichOneof("kind") is None


def test_context() -> None:
    """It goes with all examples."""
    input_ = read('{"context": {"q": "a", "l": ["b"]}, "examples": [{"i": 1}, {"i": 2}]}')
    with_context = input_.example_list_with_context
    assert list(with_context.context.features.feature["q"].bytes_list.value) == [b"a"]
    assert [each.features.feature["i"].int64_list.value[0] for each in with_context.examples] == [
        1,
        2,
    ]
    assert input_.WhichOneof("kind") == "example_list_with_context"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "When method is classify, key 'examples' is expected and was not found"),
        ('{"context": [{"a": "b"}]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": {"a": "b"}}', "Expecting 'examples' value to be an list/array"),
        ('{"examples": []}', "'examples' value is an empty array"),
        ('{"examples": [[{"a": "b"}]]}', "Example must be JSON object but got JSON Array"),
        ('{"examples": [{"a": [1, null]}]}', "a has element with unexpected JSON type: Null"),
        ('{"examples": [{"a": [1, 1.0]}]}', "in feature: a expecting type: int64"),
        ('{"examples": [{"a": [1.0, 1]}]}', "in feature: a expecting type: float"),
        ('{"examples": [{"a": [1, "b"]}]}', "in feature: a expecting type: int64"),
        ('{"examples": [{"a": ["b", true]}]}', "in feature: a expecting type: bytes"),
        ('{"examples": [{"a": {"b": 1}}]}', "a has element with unexpected JSON type: Object"),
        ('{"examples": [{"a": [[1]]}]}', "a has element with unexpected JSON type: Array"),
        ('{"examples": [{"a": [2, 9223372036854775808]}]}', "Only int64_t is supported."),
        ('{"examples": [{"a": {"b64": "?"}}]}', "Unable to base64 decode"),
    ],
)
def test_refused_examples(body: str, words: str) -> None:
    """In TensorFlow Serving's words."""
    with pytest.raises(ServingError) as refused:
        read(body)
    assert words in refused.value.message


def test_numbers_beyond_integers_are_floats() -> None:
    """As RapidJSON takes them."""
    (example,) = read('{"examples": [{"a": 18446744073709551616}]}').example_list.examples
    assert list(example.features.feature["a"].float_list.value) == [2.0**64]


def test_infinity_is_seen() -> None:
    """In the context too; what is too large for a float is infinite."""
    assert has_infinity(read('{"examples": [{"a": 1e39}]}'))
    assert has_infinity(read('{"context": {"a": [Inf]}, "examples": [{}]}'))
    assert not has_infinity(read('{"examples": [{"a": 1e38, "b": 1, "c": ""}]}'))
