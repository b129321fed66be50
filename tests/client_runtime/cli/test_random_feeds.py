"""Feeds made from a signature."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol import dtypes
from accel_protocol.errors import FeedError
from client_runtime.cli.random_feeds import make_feeds, parse_sizes, rows_of, shape_for
from client_runtime.models.saved_model import TensorInfo


@pytest.mark.parametrize(
    ("shape", "batch", "sizes", "wanted"),
    [
        ((-1, 4), None, (), (1, 4)),
        ((-1, 4), 8, (), (8, 4)),
        ((-1, -1, -1, 3), 2, (5, 7), (2, 5, 7, 3)),
        ((-1, -1, -1, 3), 2, (5,), (2, 5, 5, 3)),
        ((-1, -1, -1, 3), None, (), (1, 1, 1, 3)),
        ((1, -1, -1, 3), None, (5, 7), (1, 5, 7, 3)),
        ((1, -1, -1, 3), 1, (5, 7), (1, 5, 7, 3)),
        ((), 8, (), ()),
        (None, 8, (3, 2), (8, 3, 2)),
        (None, None, (), (1,)),
        ((-1, -1), None, (0,), (1, 0)),
    ],
)
def test_shapes(
    shape: tuple[int, ...] | None,
    batch: int | None,
    sizes: tuple[int, ...],
    wanted: tuple[int, ...],
) -> None:
    """The batch goes first, the sizes where it is open, 1 where nothing is said."""
    assert shape_for("x", TensorInfo("x:0", 1, shape), batch, sizes) == wanted


@pytest.mark.parametrize(
    ("shape", "batch", "sizes", "says"),
    [
        ((1, 4), 8, (), "fixed at 1"),
        ((-1, 4), None, (5,), "has 0 unknown dimensions"),
        ((-1, -1, -1, -1), None, (5, 6), "has 3 unknown dimensions"),
    ],
)
def test_sizes_that_do_not_fit(
    shape: tuple[int, ...], batch: int | None, sizes: tuple[int, ...], says: str
) -> None:
    """They are refused, not ignored."""
    with pytest.raises(FeedError, match=says):
        shape_for("x", TensorInfo("x:0", 1, shape), batch, sizes)


@pytest.mark.parametrize("number", dtypes.supported())
@pytest.mark.parametrize("shape", [(), (3, 2), (0, 2)])
def test_every_dtype_can_be_made(number: int, shape: tuple[int, ...]) -> None:
    """Right dtype, right shape, and finite."""
    made = make_feeds({"x": TensorInfo("x:0", number, shape)}, None, {})["x"]

    assert (made.dtype, made.shape) == (dtypes.numpy_of(number), shape)
    if number == dtypes.STRING:
        assert set(made.reshape(-1).tolist()) <= {b"x"}


@given(st.integers(1, 50), st.sampled_from([3, 5, 9, 17, 22, 23]))
def test_whole_numbers_are_good_indexes(size: int, number: int) -> None:
    """A table of two rows is enough for them."""
    made = make_feeds({"x": TensorInfo("x:0", number, (size,))}, None, {})["x"]

    assert set(made.tolist()) <= {0, 1}


def test_the_same_every_time() -> None:
    """Two runs measure the same call."""
    info = {"x": TensorInfo("x:0", 1, (8,)), "y": TensorInfo("y:0", 4, (8,))}

    one, other = make_feeds(info, None, {}), make_feeds(info, None, {})
    assert all(np.array_equal(one[name], other[name]) for name in info)


def test_unknown_dtypes_need_a_value() -> None:
    """A tensor inside the graph says none."""
    with pytest.raises(FeedError, match="dtype") as caught:
        make_feeds({"x": TensorInfo("x:0", 0, None)}, None, {})

    assert "--input x=@FILE" in caught.value.remedy


def test_nothing_larger_than_a_call_is_made() -> None:
    """A size with too many zeros does not take all memory."""
    with pytest.raises(FeedError, match="larger than a call"):
        make_feeds({"x": TensorInfo("x:0", 1, (-1,))}, 10**12, {})


def test_sizes_of_strangers() -> None:
    """Sizes for a feed that is not made up are an error."""
    with pytest.raises(FeedError, match="no random feeds"):
        make_feeds({"x": TensorInfo("x:0", 1, (-1,))}, None, {"z": (1,)})


def test_batch_without_random_feeds() -> None:
    """A batch that changes nothing is an error."""
    with pytest.raises(FeedError, match="no feed is random"):
        make_feeds({}, 8, {})


@pytest.mark.parametrize(
    ("shapes", "rows"),
    [([(8, 2), (8,)], 8), ([(8, 2), (4,)], 1), ([()], 1), ([], 1), ([(0, 3)], 0)],
)
def test_rows(shapes: list[tuple[int, ...]], rows: int) -> None:
    """What all feeds agree on."""
    assert rows_of(np.zeros(shape) for shape in shapes) == rows


def test_parse_sizes() -> None:
    """One or several sizes for each feed."""
    assert parse_sizes([("a", "5"), ("b", "5, 7")]) == {"a": (5,), "b": (5, 7)}


@pytest.mark.parametrize("text", ["", "a", "-1", "1,", "1.5", "²", "1;2"])
def test_wrong_sizes(text: str) -> None:
    """What is no number is refused."""
    with pytest.raises(FeedError):
        parse_sizes([("a", text)])


def test_sizes_twice() -> None:
    """The second would silently win otherwise."""
    with pytest.raises(FeedError, match="second time"):
        parse_sizes([("a", "1"), ("a", "2")])
