"""What callers pass becomes messages without loss, or is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from client_runtime.serving_client import RequestError, errors
from client_runtime.serving_client.examples import example_of
from client_runtime.serving_client.requests import fill_tensor, model_spec, named
from client_runtime.serving_client.specs import Signature, TensorSpec, dtype_name
from client_runtime.serving_wire.status_codes_pb2 import Code
from client_runtime.serving_wire.tensor_protos import to_array
from client_runtime.serving_wire.tensors_pb2 import TensorProto

FLOAT, DOUBLE, INT32, UINT8, STRING, INT64, BOOL = 1, 2, 3, 4, 7, 9, 10
QINT8, BFLOAT16, COMPLEX64, HALF, UINT64 = 11, 14, 8, 19, 23


def sent(value: Any, number: int) -> TensorProto:
    """The message of a value for an input of a dtype."""
    proto = TensorProto()
    fill_tensor(proto, "x", value, TensorSpec("x:0", dtype_name(number), None, number))
    return proto


@pytest.mark.parametrize(
    ("value", "number", "expected"),
    [
        ([1, 2], FLOAT, np.array([1, 2], np.float32)),
        (np.array([0.1]), FLOAT, np.array([0.1], np.float32)),
        ([1.0, -2.0], INT32, np.array([1, -2], np.int32)),
        (255, UINT8, np.array(255, np.uint8)),
        ([True], INT64, np.array([1])),
        ([True], BOOL, np.array([True])),
        (2**64 - 1, UINT64, np.array(2**64 - 1, np.uint64)),
        ([1], COMPLEX64, np.array([1], np.complex64)),
        ([1.5], BFLOAT16, np.array([1.5], ml_dtypes.bfloat16)),
        (np.array([2], ml_dtypes.bfloat16), INT32, np.array([2], np.int32)),
        ([np.inf, -np.inf], HALF, np.array([np.inf, -np.inf], np.float16)),
        ([], STRING, np.array([], object)),
        ([], INT32, np.array([], np.int32)),
        (np.zeros((0, 2), bool), FLOAT, np.zeros((0, 2), np.float32)),
    ],
    ids=repr,
)
def test_values_are_converted(value: Any, number: int, expected: Any) -> None:
    """To the dtype of the model, whatever they come as."""
    array = to_array(sent(value, number))
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", ["ä", "ä".encode(), np.array("ä"), np.array(b"\xc3\xa4")])
def test_text_is_sent_as_utf8(value: Any) -> None:
    """As a scalar where it is one."""
    assert to_array(sent(value, STRING)).tolist() == b"\xc3\xa4"


def test_bytes_keep_their_zeros() -> None:
    """NumPy's own arrays of bytes would lose them."""
    assert to_array(sent([b"a\0", b"\0\0"], STRING)).tolist() == [b"a\0", b"\0\0"]


def test_quantised_inputs_carry_their_dtype() -> None:
    """With the integers that they are stored as."""
    proto = sent([1, -1], QINT8)
    assert proto.dtype == QINT8
    assert to_array(proto).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ([1.5], INT32),
        ([np.nan], INT32),
        ([np.inf], INT64),
        ([256], UINT8),
        ([-1], UINT8),
        ([-1], UINT64),
        ([2**63], INT64),
        ([2**70], INT64),
        ([1e300], FLOAT),
        ([70000], HALF),
        ([1], BOOL),
        ([1j], FLOAT),
        (["1"], FLOAT),
        ([None], FLOAT),
        ([[1], [1, 2]], FLOAT),
        ([1], STRING),
        ([["a"], ["b", "c"]], STRING),
        (np.array(["2020"], "M8[D]"), INT64),
        ({1}, FLOAT),
    ],
    ids=repr,
)
def test_what_would_be_lost_is_refused(value: Any, number: int) -> None:
    """And the input is named."""
    with pytest.raises(RequestError, match="Input 'x'"):
        sent(value, number)


def test_a_dtype_that_is_unknown_here_is_left_to_the_server() -> None:
    """It knows better."""
    assert to_array(sent(np.array([1], np.int8), 999)).dtype == np.int8


def test_a_value_alone_needs_one_input() -> None:
    """Else nobody knows which is meant."""
    spec = TensorSpec("x:0", "float32", None, FLOAT)
    assert named(1, Signature("", {"x": spec}, {})) == {"x": 1}
    for inputs in ({}, {"x": spec, "y": spec}):
        with pytest.raises(RequestError, match="one input"):
            named(1, Signature("", inputs, {}))


def test_a_version_has_one_name() -> None:
    """Number or label; version 0 is a number."""
    assert model_spec("m", version=0).HasField("version")
    assert not model_spec("m").HasField("version")
    with pytest.raises(RequestError, match="not by both"):
        model_spec("m", version=1, label="stable")


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, "int64_list", [1]),
        (True, "int64_list", [1]),
        (np.array([1, 2], np.uint8), "int64_list", [1, 2]),
        (1.5, "float_list", [1.5]),
        ([1, 2.5], "float_list", [1.0, 2.5]),
        (np.array([[1.0], [2.0]]), "float_list", [1.0, 2.0]),
        ("ä", "bytes_list", [b"\xc3\xa4"]),
        (b"a\0", "bytes_list", [b"a\0"]),
        ([b"a\0", "b"], "bytes_list", [b"a\0", b"b"]),
        (np.array(["a"]), "bytes_list", [b"a"]),
    ],
    ids=repr,
)
def test_features_have_a_kind(value: Any, kind: str, expected: list[Any]) -> None:
    """By what they hold."""
    feature = example_of({"f": value}).features.feature["f"]
    assert feature.WhichOneof("kind") == kind
    assert list(getattr(feature, kind).value) == expected


@pytest.mark.parametrize("value", [None, 1j, 2**63, [1, "a"], [b"a", 1], {}, "\ud800", [[1], []]])
def test_what_is_no_feature_is_refused(value: Any) -> None:
    """And the feature is named."""
    with pytest.raises(RequestError, match="'f'"):
        example_of({"f": value})


@pytest.mark.parametrize("status", sorted({*map(Code.Name, Code.values())} - {"OK"}))
def test_every_status_has_an_error(status: str) -> None:
    """That carries it."""
    error = errors.from_status(status, "words")
    assert (error.status, error.message, str(error)) == (status, "words", f"words [{status}]")
