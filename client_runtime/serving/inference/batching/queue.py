"""Which tasks run together, of those that wait for one signature.

Pure: times are told, and nothing waits here.

A batch takes tasks until one does not fit, or its rows are as many as may be. It is due when it is
full, or when its first task has waited for the timeout; from then on it runs as soon as it may, and
until it does it takes more. A task that may be split fills the open batch and goes on in new ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from accel_protocol.errors import Status
from client_runtime.serving.inference.batching.rules import BatchRules
from client_runtime.serving.statuses import ServingError, invalid

T = TypeVar("T")


@dataclass(frozen=True)
class Piece(Generic[T]):
    """Rows of one task: from `start` to before `stop`."""

    task: T
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.stop - self.start


@dataclass(eq=False)
class Batch(Generic[T]):
    """Pieces that run together.

    Attributes:
        opened_at: when its first piece came.
        is_full: whether it takes no more.
    """

    opened_at: float
    pieces: list[Piece[T]] = field(default_factory=list)
    is_full: bool = False

    @property
    def rows(self) -> int:
        """Rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)


class BatchQueue(Generic[T]):
    """The batches that wait, the oldest first; only the last may take more. Not thread-safe.

    Args:
        rules: how requests are put together.
    """

    def __init__(self, rules: BatchRules) -> None:
        self._rules = rules
        self._batches: deque[Batch[T]] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, task: T, rows: int, now: float) -> None:
        """Let a task wait.

        Raises:
            ServingError: it is too large (INVALID_ARGUMENT), or too much waits (UNAVAILABLE).
        """
        rules = self._rules
        if rows > rules.most_rows_of_task:
            raise invalid(
                f"Task size {rows} is larger than maximum input batch size "
                f"{rules.most_rows_of_task}"
            )
        room = self._room()
        sizes = self._split(rows, room)
        starts_new = len(sizes) - (1 if room and sizes[0] <= room else 0)
        if len(self._batches) + starts_new > rules.most_batches:
            raise ServingError(
                Status.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(self._batches)} batches enqueued and max_enqueued_batches is "
                f"{rules.most_batches}",
            )
        start = 0
        for size in sizes:
            self._place(Piece(task, start, start + size), now)
            start += size

    def _room(self) -> int:
        """Rows that the open batch still takes."""
        if not self._batches or self._batches[-1].is_full:
            return 0
        return self._rules.most_rows_of_batch - self._batches[-1].rows

    def _split(self, rows: int, room: int) -> list[int]:
        """The sizes of a task's pieces, of which the first is for the open batch if it fits."""
        most = self._rules.most_rows_of_batch
        if rows <= most and (rows <= room or not self._rules.splits or not room):
            return [rows]
        sizes = [room] if room else []
        while (left := rows - sum(sizes)) > 0:
            sizes.append(min(left, most))
        return sizes

    def _place(self, piece: Piece[T], now: float) -> None:
        if not self._batches or piece.rows > self._room():
            if self._batches:
                self._batches[-1].is_full = True
            self._batches.append(Batch(now))
        batch = self._batches[-1]
        batch.pieces.append(piece)
        batch.is_full = batch.rows >= self._rules.most_rows_of_batch

    def due_at(self) -> float | None:
        """When the oldest batch is due; None where none waits."""
        if not self._batches:
            return None
        first = self._batches[0]
        return first.opened_at + (0.0 if first.is_full else self._rules.timeout)

    def take(self, now: float) -> Batch[T] | None:
        """The oldest batch if it is due; it waits no more."""
        due_at = self.due_at()
        if due_at is None or due_at > now:
            return None
        return self._batches.popleft()

    def first(self) -> T | None:
        """The task that has waited longest; None where none waits."""
        return self._batches[0].pieces[0].task if self._batches else None

    def drop(self, task: T) -> None:
        """Let a task wait no more; what of it runs already goes on."""
        for batch in self._batches:
            batch.pieces = [piece for piece in batch.pieces if piece.task is not task]
        self._batches = deque(batch for batch in self._batches if batch.pieces)
