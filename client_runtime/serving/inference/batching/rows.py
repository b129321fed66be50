"""Putting the tensors of several tasks together, row after row, and taking the answers apart.

Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.statuses import ServingError, invalid

Feeds = Mapping[str, Array]


def rows_of(feeds: Feeds) -> int:
    """How many rows a task has.

    Raises:
        ServingError: its tensors have none, or not equally many.
    """
    if any(array.ndim == 0 for array in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    sizes = {len(array) for array in feeds.values()}
    if len(sizes) != 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return sizes.pop()


def merged(tasks: Sequence[Feeds], padding: int, *, pads_lengths: bool) -> dict[str, Array]:
    """The tensors of all tasks, one after the other.

    Args:
        tasks: at least one, with the same aliases.
        padding: rows to add, which are the last task's first row.
        pads_lengths: whether smaller tensors are padded, with their own first element.

    Raises:
        ServingError: their shapes or dtypes do not go together.
    """
    together = {}
    for alias in tasks[0]:
        arrays = [task[alias] for task in tasks]
        if pads_lengths:
            arrays = _of_equal_shape(arrays)
        elif len({array.shape[1:] for array in arrays}) > 1:
            raise ServingError(
                Status.FAILED_PRECONDITION,
                f"Tensors with name '{alias}' from different tasks have different shapes and "
                "padding is turned off. Set pad_variable_length_inputs to true, or ensure that "
                "all tensors with the same name have equal dimensions starting with the first "
                "dim.",
            )
        together[alias] = _joined([*arrays, *[arrays[-1][:1]] * padding])
    return together


def _joined(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _of_equal_shape(arrays: Sequence[Array]) -> list[Array]:
    if len({array.ndim for array in arrays}) > 1:
        raise invalid("Tensors of different rank cannot be padded to one shape.")
    largest = tuple(
        max(sizes) for sizes in zip(*(array.shape[1:] for array in arrays), strict=True)
    )
    return [_padded(array, largest) for array in arrays]


def _padded(array: Array, shape: tuple[int, ...]) -> Array:
    if array.shape[1:] == shape or not len(array):
        return array.reshape(len(array), *shape)
    if not array.size:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    result: Array = np.full((len(array), *shape), array.reshape(-1)[0], array.dtype)
    result[tuple(slice(size) for size in array.shape)] = array
    return result


def parts(fetches: Mapping[str, Array], sizes: Sequence[int], ran: int) -> list[dict[str, Array]]:
    """Each task's rows of the answer.

    Args:
        fetches: of the batch, by alias.
        sizes: rows of each task, in their order.
        ran: rows that ran, with padding.

    Raises:
        ServingError: the answer has no row for each one that ran.
    """
    for array in fetches.values():
        if array.ndim == 0:
            raise ServingError(Status.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if len(array) != ran:
            raise ServingError(
                Status.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )
    stops = [0, *np.cumsum(sizes).tolist()]
    return [
        {alias: array[start:stop] for alias, array in fetches.items()}
        for start, stop in itertools.pairwise(stops)
    ]


def joined(answers: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The answer of a task from those of its pieces, in their order."""
    return {alias: _joined([answer[alias] for answer in answers]) for alias in answers[0]}
