"""Predict requests by row and by column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol import dtypes
from accel_protocol.errors import Status
from client_runtime.serving.rest import tensor_reading
from client_runtime.serving.rest.json_reading import read_object
from client_runtime.serving.rest.predict_reading import (
    Inputs,
    has_infinity,
    output_filter,
    read_inputs,
    signature_name,
)
from client_runtime.serving.rest.tensor_reading import read_exactly, read_tensor
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.signatures_pb2 import TensorInfo
from client_runtime.serving_wire.tensors_pb2 import DataType

INT32 = {"n": "DT_INT32"}
STRING = {"s": "DT_STRING"}
TWO = {"n": "DT_INT32", "s": "DT_STRING"}


def read(body: str, types: Mapping[str, str]) -> Inputs:
    """The inputs of a body, for a signature of these types."""
    infos = {name: TensorInfo(dtype=DataType.Value(type_)) for name, type_ in types.items()}
    return read_inputs(read_object(body.encode()), "", infos)


def refusal(body: str, types: Mapping[str, str]) -> str:
    """Why a body is refused."""
    with pytest.raises(ServingError) as refused:
        read(body, types)
    assert refused.value.status is Status.INVALID_ARGUMENT
    return refused.value.message


@pytest.mark.parametrize(
    ("items", "type_", "expected"),
    [
        ("[[1, 2], [3, 4], [5, 6]]", "DT_INT32", np.int32([[1, 2], [3, 4], [5, 6]])),
        ("[1, 2.5, 3, 0.007]", "DT_FLOAT", np.float32([1, 2.5, 3, 0.007])),
        ("[1.5, 2, 1e300]", "DT_DOUBLE", np.float64([1.5, 2, 1e300])),
        ("[1435774380]", "DT_FLOAT", np.float32([1435774380.0])),
        ("[1435774380.0]", "DT_FLOAT", np.float32([1435774380.0])),
        ("[1e39, -1e39]", "DT_FLOAT", np.float32([np.inf, -np.inf])),
        ("[1e-300, -1e-300]", "DT_FLOAT", np.float32([0.0, -0.0])),
        ("[NaN, Infinity, -Inf]", "DT_FLOAT", np.float32([np.nan, np.inf, -np.inf])),
        ("[70000, -1]", "DT_UINT8", np.uint8([70000 % 256, 255])),
        ("[70000]", "DT_INT16", np.int16([70000 - 65536])),
        ("[9223372036854775807]", "DT_INT64", np.int64([2**63 - 1])),
        ("[4294967295]", "DT_UINT32", np.uint32([2**32 - 1])),
        ("[18446744073709551615]", "DT_UINT64", np.uint64([2**64 - 1])),
        ("[36893488147419103232]", "DT_DOUBLE", np.float64([2.0**65])),
        ("[true, false]", "DT_BOOL", np.bool_([True, False])),
        ("[0.5, 2]", "DT_HALF", np.float16([0.5, 2])),
        ("[0.5, 2]", "DT_BFLOAT16", np.array([0.5, 2], dtypes.numpy_of(14))),
        ("[[], []]", "DT_FLOAT", np.zeros((2, 0), np.float32)),
    ],
)
def test_types(items: str, type_: str, expected: Any) -> None:
    """The same by row and by column, bit for bit."""
    for key, by_row in (("instances", True), ("inputs", False)):
        inputs = read(f'{{"{key}": {items}}}', {"x": type_})
        assert inputs.by_row is by_row
        assert inputs.arrays["x"].dtype == expected.dtype
        assert inputs.arrays["x"].shape == expected.shape
        assert inputs.arrays["x"].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"instances": [{"b64": "aGk="}, "yo"]}', [b"hi", b"yo"]),
        ('{"instances": [[{"b64": "aGk"}], ["yo"]]}', [[b"hi"], [b"yo"]]),
        ('{"instances": [{"s": [{"b64": "aGk="}]}]}', [[b"hi"]]),
        ('{"inputs": {"b64": "aGk="}}', b"hi"),
        ('{"inputs": {"s": {"b64": " aG k= "}}}', b"hi"),
        ('{"inputs": ["é\\u0000"]}', [b"\xc3\xa9\0"]),
    ],
)
def test_strings(body: str, expected: Any) -> None:
    """Texts are UTF-8; bytes are base64."""
    array = read(body, STRING).arrays["s"]
    assert array.dtype == object
    assert array.tolist() == expected


def test_several_inputs_by_row() -> None:
    """In any order of their names."""
    body = {"instances": [{"n": [[1, 2]], "s": "a"}, {"s": "b", "n": [[3, 4]]}]}
    arrays = read(json.dumps(body), TWO).arrays
    assert arrays["n"].tolist() == [[[1, 2]], [[3, 4]]]
    assert arrays["s"].tolist() == [b"a", b"b"]


def test_several_inputs_by_column() -> None:
    """Each has its own shape; others are ignored."""
    arrays = read('{"inputs": {"n": [[1]], "s": {"b64": "aGk="}, "more": 1}}', TWO).arrays
    assert arrays["n"].tolist() == [[1]]
    assert arrays["s"].shape == ()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"instances": [1], "inputs": [1]}', "expecting only one of 'inputs' or 'instances'"),
        ('{"instances": 1}', "Expecting 'instances' to be an list/array"),
        ('{"instances": []}', "No values in 'instances' array"),
        ('{"instances": [[1, 2], [3, 4, 5]]}', "Expecting tensor size: 2 but got: 3"),
        ('{"instances": [[1, 2], [[3, 4]]]}', "Expecting shape [2] but got: [1,2]"),
        ('{"instances": [1, [1]]}', "Expecting shape [] but got: [1]"),
        (
            '{"instances": [[1, 2], ["a", 3]]}',
            "Failed to process element: 1 of 'instances' list. Error: INVALID_ARGUMENT: "
            'JSON Value: "a" Type: String is not of expected type: int32',
        ),
        ('{"instances": [1.0]}', "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ('{"instances": [2147483648]}', "is not of expected type: int32"),
        ('{"instances": [1, true]}', "element: 1 of 'instances' list. Error: INVALID_ARGUMENT"),
        ('{"instances": [true]}', "JSON Value: true Type: True is not of expected"),
        ('{"instances": [1, null]}', "element: 1 of 'instances' list. Error: INVALID_ARGUMENT"),
        ('{"instances": [1, {"n": 2}]}', "Expecting value/list but got object at item 1 of"),
        ('{"instances": [{"n": 1}, 2]}', "Expecting object but got list at item 1 of input list"),
        (
            '{"instances": [{"m": 1}]}',
            "Failed to process element: 0 key: m of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: m",
        ),
        ('{"instances": [{"n": 1}, {"n": 2, "m": 3}]}', "does not have named input: m"),
        ('{"instances": [{"n": 1}, {}]}', "JSON object: {} keys must be equal to: n"),
        ('{"inputs": {"m": 1}}', "Missing named input: n in 'inputs' object."),
        ('{"inputs": [[1, 2], [3]]}', "unexpected size: 1 at level: 1 expected size: 2"),
        ('{"inputs": [1, [2]]}', "Encountered list at unexpected level: 1 expected < 1"),
        ('{"inputs": [[1], 2]}', "JSON Value: 2 found at incorrect level: 2 in the JSON DOM."),
        ('{"inputs": null}', "JSON Value: null Type: Null is not of expected type: int32"),
        ('{"inputs": [{"a": 1}]}', "Type: Object is not of expected type: int32"),
    ],
)
def test_refused_inputs(body: str, words: str) -> None:
    """In TensorFlow Serving's words."""
    assert words in refusal(body, INT32)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"instances": [[1], ["a"]]}', "instances is a plain list, but expecting list of objects"),
        ('{"inputs": [1]}', "inputs is a plain value/list, but expecting an object"),
        ('{"instances": [{"n": 1, "s": "a"}, {"n": [1], "s": "b"}]}', "Expecting shape [] but"),
        ('{"instances": [{"n": [1, 2], "s": "a"}, {"n": [1], "s": "b"}]}', "tensor size: 2 but"),
        ('{"instances": [{"n": 1}]}', "keys must be equal to: n,s"),
        ('{"inputs": {"n": 1}}', "Missing named input: s in 'inputs' object."),
    ],
)
def test_refused_inputs_of_several(body: str, words: str) -> None:
    """They need their names."""
    assert words in refusal(body, TWO)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"inputs": {"s": {"b64": "a"}}}', "Unable to base64 decode"),
        ('{"inputs": {"b64": "aGk=="}}', "Unable to base64 decode"),
        ('{"inputs": {"b64": "a-_="}}', "Unable to base64 decode"),
        ('{"inputs": {"s": {"b64": "aGk=", "a": 1}}}', "not formatted correctly for base64 data"),
        ('{"inputs": {"s": {"b64": 1}}}', "not formatted correctly for base64 data"),
        ('{"inputs": {"s": 1}}', "JSON Value: 1 Type: Number is not of expected type: string"),
    ],
)
def test_refused_strings(body: str, words: str) -> None:
    """What is neither text nor base64."""
    assert words in refusal(body, STRING)


def test_an_input_that_is_named_as_bytes_are() -> None:
    """An instance that looks like bytes is taken for them."""
    words = refusal(
        '{"instances": [{"b64": {"b64": "YQ"}}, {"b64": "aGk="}]}', {"b64": "DT_STRING"}
    )
    assert words == "Expecting object but got list at item 1 of input list"


def test_truth_is_no_number() -> None:
    """Not even among numbers."""
    assert "True is not of expected type: float" in refusal(
        '{"inputs": [1, true]}', {"x": "DT_FLOAT"}
    )


def test_types_that_json_lacks() -> None:
    """They are refused as not implemented, or as a wrong element of a row."""
    with pytest.raises(ServingError) as refused:
        read('{"inputs": [1]}', {"x": "DT_COMPLEX64"})
    assert refused.value.status is Status.UNIMPLEMENTED
    words = "Conversion of JSON Value: 1 to type: complex64"
    assert refused.value.message == words
    assert f"Error: UNIMPLEMENTED: {words}" in refusal('{"instances": [1]}', {"x": "DT_COMPLEX64"})


def test_signature_without_inputs() -> None:
    """REST cannot call it."""
    assert refusal('{"inputs": {}}', {}) == "Failed to get input map for signature: DEFAULT"


def test_signature_name() -> None:
    """A string if it is there."""
    assert signature_name({}) == ""
    assert signature_name({"signature_name": "a"}) == "a"
    with pytest.raises(ServingError, match="'signature_name' key must be a string value"):
        signature_name({"signature_name": ["a"]})


def test_output_filter() -> None:
    """A list of strings if it is there."""
    assert output_filter({}) == []
    assert output_filter({"output_filter": ["a"]}) == ["a"]
    for wrong in ("a", [1]):
        with pytest.raises(ServingError, match="'output_filter'"):
            output_filter({"output_filter": wrong})


def test_deep_lists() -> None:
    """NumPy has no such arrays."""
    deep: Any = 1.0
    for _ in range(100_000):
        deep = [deep]
    for document in ({"inputs": deep}, {"instances": deep}, {"instances": [deep, deep]}):
        with pytest.raises(ServingError, match="deeper than 32 levels"):
            read_inputs(document, "", {"x": TensorInfo(dtype=DataType.DT_FLOAT)})


def test_infinity_is_seen() -> None:
    """In floats alone."""
    assert has_infinity({"x": np.float32([1, -np.inf])})
    assert not has_infinity(
        {"x": np.float32([1]), "s": np.array([b""], object), "i": np.int64([1])}
    )


_LEAVES = st.one_of(
    st.integers(-300, 300),
    st.sampled_from([2**31, 2**63, 2**64, -1, True, None, "a", {"b64": "aGk="}, {"b64": 1}]),
    st.floats(),
)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=8)


@given(_VALUES, st.sampled_from([1, 2, 3, 4, 7, 8, 9, 10, 14, 19, 22, 23]))
def test_the_fast_way_is_the_exact_one(value: Any, dtype: int) -> None:
    """What it answers, going through one by one answers too."""
    array = tensor_reading.quickly(value, dtype)
    leaves: list[Any] = []
    if array is None:
        return
    shape = read_exactly(value, dtype, leaves)
    exact = tensor_reading.assembled(leaves, dtype, shape)
    assert (exact.dtype, exact.shape) == (array.dtype, array.shape)
    assert exact.tolist() == array.tolist() or exact.tobytes() == array.tobytes()


@given(st.lists(st.lists(st.integers(-9, 9), min_size=2, max_size=2), min_size=1))
def test_regular_lists_take_the_fast_way(value: list[list[int]]) -> None:
    """And are read right by both."""
    array = tensor_reading.quickly(value, 3)
    assert array is not None
    assert array.tolist() == value
    assert read_tensor(value, 3).tolist() == value
