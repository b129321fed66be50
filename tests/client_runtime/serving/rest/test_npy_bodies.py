"""Arrays in NumPy's own format."""

from __future__ import annotations

import io
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from client_runtime.serving.rest.npy_bodies import read_npy, written_npy
from client_runtime.serving.statuses import ServingError


def saved(array: Any, **options: Any) -> bytes:
    """What NumPy writes."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


@settings(max_examples=40)
@given(
    arrays.arrays(
        st.sampled_from(["?", "<i1", ">i4", "<u8", "<f2", ">f4", "<f8", "<c8"]),
        arrays.array_shapes(min_dims=0, min_side=0),
    ),
    st.booleans(),
)
def test_what_numpy_writes_is_read(array: Any, column_major: bool) -> None:
    """Any numbers, byte orders and shapes, by rows or by columns."""
    body = saved(np.asfortranarray(array) if column_major and array.ndim else array)
    read = read_npy(body)
    assert read.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, array)


@given(st.binary(max_size=200))
def test_no_bytes_break_it(body: bytes) -> None:
    """Whatever follows the magic."""
    for start in (b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"):
        try:
            read_npy(start + body)
        except ServingError as error:
            assert error.message.startswith("The body")


def test_a_size_that_is_not_there_is_refused() -> None:
    """Before so much is allocated."""
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': %s}\n"
    for shape in ("(9999999999999,)", "(-1, -1)", f"({'1,' * 41})", "((1,)", "(1.0,)", "(2,)"):
        header = (text % shape).encode()
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        with pytest.raises(ServingError, match="The body"):
            read_npy(start + bytes(8 if "1," in shape else 15))


@pytest.mark.parametrize("array", [np.array([b"a"]), np.array(["a"]), np.array([(1,)], "i4,")])
def test_numbers_only(array: Any) -> None:
    """Objects would be pickles."""
    with pytest.raises(ServingError, match="numbers only"):
        read_npy(saved(array))
    pickled = np.array([None], object)
    with pytest.raises(ServingError, match="numbers only"):
        read_npy(saved(pickled, allow_pickle=True))


def test_one_array_is_written() -> None:
    """Of numbers; bfloat16 as float32, of which it is a part."""
    written = written_npy({"y": np.array([1.5], ml_dtypes.bfloat16)})
    assert np.load(io.BytesIO(written)).dtype == np.float32
    for outputs in ({}, {"a": np.zeros(1), "b": np.zeros(1)}, {"a": np.array([b"x"], object)}):
        with pytest.raises(ServingError, match="npy"):
            written_npy(outputs)
