"""What Keras's `predict` takes and gives, without Keras."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.keras import data as keras_data
from client_runtime.keras.data import Leaf

A, B = Leaf("input_0", "a", (None, 4)), Leaf("input_1", "b", (None, 1))
X, Y = np.ones((2, 4)), np.full((2, 1), 2.0)


@pytest.mark.parametrize(
    ("x", "structure"),
    [
        ([X, Y], [A, B]),
        ((X, Y), [A, B]),
        ({"b": Y, "a": X, "more": X}, (A, B)),
        ({"q": Y, "p": X}, {"p": A, "q": B}),
        ([X, Y], {"q": B, "p": A}),
        ([X, Y[:, 0]], [A, B]),
        ([X[..., np.newaxis], Y], [A, B]),
        ({"deep": [X], "b": Y}, {"deep": [A], "b": B}),
        ([[X], Y], [[A], B]),
    ],
)
def test_inputs_are_found_by_position_or_name(x: Any, structure: Any) -> None:
    """Whatever the model declares and the caller gives, as Keras pairs them."""
    values = keras_data.match(x, structure, strict=True)
    assert {alias: value.shape for alias, value in values.items()} == {
        "input_0": (2, 4),
        "input_1": (2, 1),
    }
    assert values["input_1"].max() == 2.0


@pytest.mark.parametrize("x", [X, [X], (X,), {"a": X}, X.tolist(), [[1, 1, 1, 1]]])
@pytest.mark.parametrize("structure", [A, [A], (A,)])
def test_a_single_input_may_be_wrapped(x: Any, structure: Any) -> None:
    """In a list, or a dict; Python's own lists are values."""
    values = keras_data.match(keras_data.as_arrays(x, "float32"), structure, strict=True)
    assert values["input_0"].shape[1:] == (4,)


@pytest.mark.parametrize(
    ("x", "structure"),
    [
        ([X], [A, B]),
        (X, [A, B]),
        ({"a": X}, [A, B]),
        ({"p": X}, {"p": A, "q": B}),
        ({"b": X}, A),
        (np.ones((2, 5)), A),
        (np.ones((2, 4, 4)), A),
        (np.ones(3), A),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x: Any, structure: Any) -> None:
    """Too few, other names, other sizes."""
    with pytest.raises(ValueError, match="model"):
        keras_data.match(x, structure, strict=True)


def test_other_sizes_are_let_through_where_keras_does() -> None:
    """Keras 2 takes what a graph can compute, whatever was declared."""
    assert keras_data.match(np.ones((2, 5)), A, strict=False)["input_0"].shape == (2, 5)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.ones(2), "float32"),
        (np.ones(2, np.float16), "float32"),
        ([1.5], "float32"),
        (np.ones(2, np.int64), "int64"),
        (np.ones(2, bool), "bool"),
        (np.array(["a"]), "<U1"),
    ],
)
def test_floats_get_the_default_width(value: Any, dtype: str) -> None:
    """As Keras does it with data; other dtypes stay."""
    assert keras_data.as_arrays(value, "float32").dtype == np.dtype(dtype)


def test_inputs_are_described_where_a_model_does_not_declare_them() -> None:
    """The batch is of any size, the rest as it is."""
    x = {"a": np.ones((2, 3), np.int32), "b": (np.array(["s"]), np.ones((1, 2, 2), np.float32))}
    assert keras_data.describe(x) == {
        "a": Leaf("input_0", "input_0", (None, 3), "int32"),
        "b": (
            Leaf("input_1", "input_1", (None,), "string"),
            Leaf("input_2", "input_2", (None, 2, 2), "float32"),
        ),
    }


@given(st.integers(1, 40), st.integers(1, 50))
def test_batches_put_together_are_what_was_cut(samples: int, batch_size: int) -> None:
    """Every sample once, in order, in batches no larger than asked for."""
    x = np.arange(samples * 2).reshape(samples, 2)
    batches = list(keras_data.slices({"output_0": x}, batch_size))
    assert all(1 <= len(batch["output_0"]) <= batch_size for batch in batches)
    joined = keras_data.join(batches, [Leaf("output_0")])
    np.testing.assert_array_equal(joined[0], x)


@pytest.mark.parametrize("values", [{"a": X, "b": X[:1]}, {"a": X[:0]}, {"a": np.float32(1)[()]}])
def test_samples_have_to_be_equally_many(values: Any) -> None:
    """And at least one."""
    arrays = {alias: np.asarray(value) for alias, value in values.items()}
    with pytest.raises(ValueError, match="equally many samples"):
        list(keras_data.slices(arrays, 2))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_at_least_one_sample(batch_size: int) -> None:
    """Anything else would never end."""
    with pytest.raises(ValueError, match="batch_size"):
        list(keras_data.slices({"a": X}, batch_size))


def test_scalars_of_batches_are_put_side_by_side() -> None:
    """One number a batch."""
    answers = [{"output_0": np.float32(1)}, {"output_0": np.float32(2)}]
    assert keras_data.join(answers, Leaf("output_0")).tolist() == [1.0, 2.0]


def test_no_batch_is_no_answer() -> None:
    """A generator may be empty."""
    with pytest.raises(ValueError, match="no batch"):
        keras_data.join([], Leaf("output_0"))


class Batches(Sequence[Any]):
    """A Keras Sequence of two batches with targets."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError
        return np.full((1, 2), index), np.zeros(1)


@pytest.mark.parametrize("x", [Batches(), iter(Batches()), (pair for pair in Batches())])
def test_streams_give_inputs_without_targets(x: Any) -> None:
    """Sequences and iterators alike."""
    assert keras_data.is_stream(x)
    assert [batch.tolist() for batch in keras_data.stream(x)] == [[[0, 0]], [[1, 1]]]


@pytest.mark.parametrize("x", [X, [X], (X, Y), {"a": X}, np.float32(1), [[1.0]]])
def test_data_is_no_stream(x: Any) -> None:
    """It is cut into batches here."""
    assert not keras_data.is_stream(x)
