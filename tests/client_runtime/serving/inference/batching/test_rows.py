"""Rows of several tasks, put together and taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import Status
from client_runtime.serving.inference.batching import rows
from client_runtime.serving.statuses import ServingError


def feeds(*values: Any) -> list[dict[str, Any]]:
    """One feed "x" for each."""
    return [{"x": np.asarray(value)} for value in values]


def test_rows_come_in_the_order_of_tasks_with_copies_behind_them() -> None:
    """Padding is the last task's first row."""
    together = rows.merged(feeds([[1, 2]], [[3, 4], [5, 6]]), 2, pads_lengths=False)
    assert together["x"].tolist() == [[1, 2], [3, 4], [5, 6], [3, 4], [3, 4]]


def test_other_shapes_are_refused_unless_lengths_are_padded() -> None:
    """Padded, each with its own first element."""
    tasks = feeds([[1, 2]], [[3], [4]])
    with pytest.raises(ServingError, match="Tensors with name 'x' from different") as caught:
        rows.merged(tasks, 0, pads_lengths=False)
    assert caught.value.status is Status.FAILED_PRECONDITION
    together = rows.merged(tasks, 1, pads_lengths=True)
    assert together["x"].tolist() == [[1, 2], [3, 3], [4, 3], [3, 3]]


def test_strings_are_padded_too() -> None:
    """As the elements that they are."""
    tasks = [{"s": np.array([[b"a"]], dtype=object)}, {"s": np.array([[b"b", b"c"]], dtype=object)}]
    assert rows.merged(tasks, 0, pads_lengths=True)["s"].tolist() == [[b"a", b"a"], [b"b", b"c"]]


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (feeds([[1]], [1]), "different rank"),
        (feeds([[1, 2]], np.zeros((1, 0))), "Got empty tensor in batch of non-empty tensors."),
    ],
)
def test_what_cannot_be_padded_is_refused(tasks: Any, text: str) -> None:
    """There is no element to pad with, or no shape to pad to."""
    with pytest.raises(ServingError, match=text):
        rows.merged(tasks, 0, pads_lengths=True)


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ({"x": np.float32(1)}, "input tensors must have at least one dimension"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "input tensors must have equal 0th-dimension size"),
    ],
)
def test_a_task_without_rows_is_refused(given_: Any, text: str) -> None:
    """All its tensors have as many."""
    with pytest.raises(ServingError, match=text):
        rows.rows_of(given_)


@pytest.mark.parametrize(
    ("fetch", "text"),
    [
        (np.float32(1), "Batched output tensor has 0 dimensions"),
        (np.zeros(4), "does not equal the sum of the 0th dimension sizes of the input tensors"),
    ],
)
def test_an_answer_without_a_row_for_each_is_refused(fetch: Any, text: str) -> None:
    """A graph that answers so cannot be batched."""
    with pytest.raises(ServingError, match=text) as caught:
        rows.parts({"y": fetch}, [1, 2], 3)
    assert caught.value.status is Status.FAILED_PRECONDITION


@given(sizes=st.lists(st.integers(1, 5), min_size=1), padding=st.integers(0, 5))
def test_what_is_put_together_comes_apart_again(sizes: list[int], padding: int) -> None:
    """Each task gets its own rows; a task's pieces are joined."""
    numbers = np.arange(sum(sizes) * 2).reshape(-1, 2)
    tasks = [{"x": part} for part in np.split(numbers, np.cumsum(sizes)[:-1])]
    together = rows.merged(tasks, padding, pads_lengths=False)
    parts = rows.parts({"y": together["x"]}, sizes, sum(sizes) + padding)
    for task, part in zip(tasks, parts, strict=True):
        assert part["y"].tolist() == task["x"].tolist()
    assert rows.joined(parts)["y"].tolist() == numbers.tolist()
