"""Which tasks form a batch: by hand, and whatever comes."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import Status
from client_runtime.serving.inference.batching.queue import Batch, BatchQueue
from client_runtime.serving.inference.batching.rules import (
    BatchRules,
    pool_name_of,
    rules_of,
    threads_of,
)
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.server_config_pb2 import BatchingParameters

FOREVER = 1e9


def filled(rules: BatchRules, *sizes: int) -> BatchQueue[int]:
    """A queue of tasks that came at second 0, 1, … and are called by their place."""
    queue: BatchQueue[int] = BatchQueue(rules)
    for place, size in enumerate(sizes):
        queue.add(place, size, float(place))
    return queue


def taken(queue: BatchQueue[int], now: float = FOREVER) -> list[list[tuple[int, int, int]]]:
    """Task, first row and last of all pieces of the batches that are due."""
    batches: list[Batch[int]] = []
    while (batch := queue.take(now)) is not None:
        batches.append(batch)
    return [[(p.task, p.start, p.stop) for p in batch.pieces] for batch in batches]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((1,), [[(0, 0, 1)]]),
        ((1, 2, 1), [[(0, 0, 1), (1, 0, 2), (2, 0, 1)]]),
        ((4, 1), [[(0, 0, 4)], [(1, 0, 1)]]),
        ((3, 2, 1), [[(0, 0, 3)], [(1, 0, 2), (2, 0, 1)]]),
        ((3, 0), [[(0, 0, 3), (1, 0, 0)]]),
    ],
)
def test_a_batch_takes_tasks_in_their_order_until_one_does_not_fit(
    sizes: tuple[int, ...], expected: list[list[tuple[int, int, int]]]
) -> None:
    """At most four rows; nothing overtakes."""
    rules = BatchRules(most_rows_of_task=4, most_rows_of_batch=4)
    assert taken(filled(rules, *sizes)) == expected


def test_a_large_task_is_split_where_that_is_allowed() -> None:
    """It fills the open batch first, then batches of its own."""
    rules = BatchRules(most_rows_of_task=10, most_rows_of_batch=4, splits=True)
    assert taken(filled(rules, 3, 6)) == [[(0, 0, 3), (1, 0, 1)], [(1, 1, 5)], [(1, 5, 6)]]


@pytest.mark.parametrize("splits", [False, True])
def test_a_task_that_is_too_large_is_refused(splits: bool) -> None:
    """Also where it could be split."""
    rules = BatchRules(most_rows_of_task=4, most_rows_of_batch=2 if splits else 4, splits=splits)
    with pytest.raises(ServingError) as caught:
        filled(rules, 5)
    assert caught.value.status is Status.INVALID_ARGUMENT
    assert caught.value.message == "Task size 5 is larger than maximum input batch size 4"


def test_a_full_queue_refuses_what_needs_another_batch() -> None:
    """What fits into the open one is still taken; a split task is taken whole or not at all."""
    rules = BatchRules(most_rows_of_task=8, most_rows_of_batch=4, most_batches=2, splits=True)
    queue = filled(rules, 4, 2)
    with pytest.raises(ServingError, match="is full; currently 2 batches enqueued") as caught:
        queue.add(9, 3, 0.0)
    assert caught.value.status is Status.UNAVAILABLE
    queue.add(2, 2, 0.0)
    assert taken(queue) == [[(0, 0, 4)], [(1, 0, 2), (2, 0, 2)]]


def test_a_batch_is_due_when_it_is_full_or_has_waited() -> None:
    """The time-out counts from its first task."""
    queue = filled(BatchRules(4, 4, timeout=10.0), 2)
    queue.add(1, 1, 5.0)
    assert (queue.due_at(), taken(queue, now=9.9)) == (10.0, [])
    queue.add(2, 1, 6.0)
    assert taken(queue, now=6.0) == [[(0, 0, 2), (1, 0, 1), (2, 0, 1)]]
    queue.add(3, 1, 7.0)
    assert (queue.due_at(), queue.first()) == (17.0, 3)


def test_a_batch_that_cannot_take_the_next_task_is_due() -> None:
    """It will not be larger by waiting; the next one has its own time."""
    queue = filled(BatchRules(4, 4, timeout=10.0), 3, 2)
    assert taken(queue, now=1.0) == [[(0, 0, 3)]]
    assert queue.due_at() == 11.0


def test_a_dropped_task_leaves_no_trace() -> None:
    """Another is first then, and an emptied batch is none."""
    rules = BatchRules(most_rows_of_task=8, most_rows_of_batch=4, splits=True)
    queue = filled(rules, 2, 5, 1)
    queue.drop(1)
    assert taken(queue) == [[(0, 0, 2)], [(2, 0, 1)]]
    queue = filled(rules, 4)
    queue.drop(0)
    assert (len(queue), queue.due_at(), queue.first()) == (0, None, None)


@given(
    sizes=st.lists(st.integers(0, 9), max_size=20),
    most=st.integers(1, 9),
    splits=st.booleans(),
    most_batches=st.integers(1, 6),
    dropped=st.sets(st.integers(0, 19)),
)
def test_every_row_runs_once(
    sizes: list[int], most: int, splits: bool, most_batches: int, dropped: set[int]
) -> None:
    """Of all tasks that were taken and not dropped; no batch is larger, nor are there more."""
    rules = BatchRules(9 if splits else most, most, most_batches=most_batches, splits=splits)
    queue: BatchQueue[int] = BatchQueue(rules)
    waiting = {}
    for task, size in enumerate(sizes):
        try:
            queue.add(task, size, 0.0)
        except ServingError:
            continue
        waiting[task] = size
    assert len(queue) <= most_batches
    for task in dropped:
        queue.drop(task)
        waiting.pop(task, None)
    batches = taken(queue)
    assert all(sum(stop - start for _, start, stop in batch) <= most for batch in batches)
    rows: dict[int, list[int]] = {}
    for batch in batches:
        for task, start, stop in batch:
            rows.setdefault(task, []).extend(range(start, stop))
    assert rows == {task: list(range(size)) for task, size in waiting.items()}


def parsed(text: str) -> BatchingParameters:
    """Parameters from their text form."""
    return text_format.Parse(text, BatchingParameters())


def test_parameters_have_the_originals_defaults() -> None:
    """Of an empty file."""
    assert rules_of(parsed("")) == BatchRules(1000, 1000, 0.0, 10, (), False, False)
    assert (threads_of(parsed("")) >= 1, pool_name_of(parsed(""))) == (True, "batch_threads")


def test_parameters_are_read() -> None:
    """All of them, in the original's form."""
    given = parsed(
        "max_batch_size { value: 128 } batch_timeout_micros { value: 1500 } "
        "max_enqueued_batches { value: 3 } num_batch_threads { value: 4 } "
        'thread_pool_name { value: "s" } allowed_batch_sizes: 8 allowed_batch_sizes: 32 '
        "pad_variable_length_inputs: true enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 32 }"
    )
    assert rules_of(given) == BatchRules(128, 32, 0.0015, 3, (8, 32), True, True)
    assert (threads_of(given), pool_name_of(given)) == (4, "s")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 2",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 2; "
            "expected 4",
        ),
        (
            "allowed_batch_sizes: 2 max_batch_size { value: 4 } "
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 3 }",
            "must match max_execution_batch_size; last entry was 2; expected 3",
        ),
        ("allowed_batch_sizes: [4, 2] max_batch_size { value: 2 }", "positive and ascending"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be at least 0"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(text: str, message: str) -> None:
    """Before anything is loaded with them."""
    with pytest.raises(ServingError) as caught:
        rules_of(parsed(text))
    assert message in caught.value.message


@pytest.mark.parametrize(("rows", "expected"), [(1, 2), (2, 2), (3, 8), (8, 8), (9, 9)])
def test_rows_are_padded_to_an_allowed_size(rows: int, expected: int) -> None:
    """The smallest that holds them; above the largest to none."""
    assert BatchRules(allowed=(2, 8)).padded(rows) == expected
    assert BatchRules().padded(rows) == rows
