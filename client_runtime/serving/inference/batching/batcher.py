"""Runs of one signature of one version, put together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from accel_protocol.errors import CancelledError, Status
from accel_protocol.tensors import Array
from client_runtime.serving.events import BatchEnded, Observer
from client_runtime.serving.inference.batching import rows as rows_
from client_runtime.serving.inference.batching.queue import Batch, BatchQueue
from client_runtime.serving.inference.batching.rules import BatchRules
from client_runtime.serving.inference.batching.scheduler import Line, Scheduler
from client_runtime.serving.inference.batching.waiting import Task, Waker
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.inference.failures import as_serving_errors
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.transport.exchange import Cancellation

_log = logging.getLogger(__name__)
Run = Callable[[Mapping[str, Array], Bounds], Ran]


@dataclass(frozen=True)
class BatchSource:
    """Whose batches they are, for observers."""

    servable: ServableId
    signature: str
    thread_pool_name: str


class Batcher:
    """Runs requests together. Thread-safe.

    Args:
        scheduler: shared by all models.
        rules: how requests are put together.
        run: runs a batch.
        source: for observers.
        observer: is told of each batch.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        rules: BatchRules,
        run: Run,
        source: BatchSource,
        observer: Observer,
    ) -> None:
        self._scheduler, self._rules, self._run = scheduler, rules, run
        self._source, self._observer = source, observer
        self._line = Line(BatchQueue(rules), self._lead)
        self._running: dict[Batch[Task], Cancellation] = {}

    def run(self, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """One request's answer; see `Engine.run`.

        Raises:
            ServingError: the batch failed, the request cannot be in one, or waited in vain.
        """
        rows = rows_.rows_of(feeds)
        if not rows:  # nothing to be put together
            return self._run(feeds, bounds)
        task = Task(feeds, rows, bounds, time.monotonic())
        with as_serving_errors():
            bounds.cancellation.enter(Waker(task, self._cancelled))
        try:
            self._scheduler.add(self._line, task)
            return self._wait(task)
        finally:
            bounds.cancellation.enter(None)

    def _wait(self, task: Task) -> Ran:
        while True:
            with self._scheduler.lock:
                task.look.clear()
                self._scheduler.dispatch()
                batch, task.to_lead = task.to_lead, None
                seconds = None if batch is not None else self._look(task)
            if batch is not None:
                self._lead(batch)
                with self._scheduler.lock:
                    task.is_leading = False
            elif task.is_over:
                return task.answer()
            else:
                task.look.wait(seconds)

    def _look(self, task: Task) -> float | None:
        """Seconds to wait; None: until woken. The lock is held."""
        now = time.monotonic()
        why = None if task.is_over else task.why_not(now)
        if why is not None:
            task.fail(why)
        if task.is_over:
            task.is_gone = True
            self._scheduler.drop(self._line, task)
            self._stop_unwanted()
            return None
        ends = [] if task.bounds.give_up_at is None else [task.bounds.give_up_at]
        due_at = self._line.queue.due_at()
        if due_at is not None and due_at > now and self._line.queue.first() is task:
            ends.append(due_at)
        return max(0.0, min(ends) - now) if ends else None

    def _cancelled(self, task: Task) -> None:
        """A request was cancelled: its thread looks, unless it is in the middle of a run."""
        with self._scheduler.lock:
            task.is_gone = True
            task.look.set()
            self._stop_unwanted()

    def _stop_unwanted(self) -> None:
        """Stop the batches that nobody waits for any more. The lock is held."""
        for batch, cancellation in self._running.items():
            if all(piece.task.is_gone for piece in batch.pieces):
                cancellation.cancel()

    def _lead(self, batch: Batch[Task]) -> None:
        """Run a batch, and settle all its tasks."""
        began_at, cancellation = time.monotonic(), Cancellation()
        with self._scheduler.lock:
            self._running[batch] = cancellation
            self._stop_unwanted()
        answers, status = self._outcome(batch, cancellation)
        with self._scheduler.lock:
            del self._running[batch]
            for piece, answer in zip(batch.pieces, answers, strict=True):
                piece.task.running -= 1
                if isinstance(answer, ServingError):
                    piece.task.fail(answer)
                else:
                    piece.task.settle(piece, answer, began_at - piece.task.came_at)
            self._scheduler.leave()
        self._tell(batch, began_at, status)

    def _outcome(
        self, batch: Batch[Task], cancellation: Cancellation
    ) -> tuple[Sequence[Ran | ServingError], Status | None]:
        """What each piece gets."""
        try:
            return self._answers(batch, cancellation), None
        except ServingError as error:
            failure = error
        except CancelledError:
            failure = ServingError(Status.CANCELLED, "The call was cancelled.")
        except Exception:
            _log.exception("a batch failed")
            failure = ServingError(Status.INTERNAL, "The batch failed.")
        return [ServingError(failure.status, failure.message) for _ in batch.pieces], failure.status

    def _answers(self, batch: Batch[Task], cancellation: Cancellation) -> list[Ran]:
        size = self._rules.padded(batch.rows)
        feeds = rows_.merged(
            [piece.task.feeds_of(piece) for piece in batch.pieces],
            size - batch.rows,
            pads_lengths=self._rules.pads_lengths,
        )
        ends = [piece.task.bounds.give_up_at for piece in batch.pieces]
        give_up_at = None if None in ends else max(end for end in ends if end is not None)
        ran = self._run(feeds, Bounds(give_up_at, cancellation))
        parts = rows_.parts(ran.fetches, [piece.rows for piece in batch.pieces], size)
        return [Ran(part, ran.queue_seconds, ran.compute_seconds) for part in parts]

    def _tell(self, batch: Batch[Task], began_at: float, status: Status | None) -> None:
        rows = tuple(piece.rows for piece in batch.pieces)
        self._observer(
            BatchEnded(
                self._source.servable,
                self._source.signature,
                self._source.thread_pool_name,
                rows,
                self._rules.padded(batch.rows),
                tuple(began_at - piece.task.came_at for piece in batch.pieces),
                began_at,
                time.monotonic() - began_at,
                status,
            )
        )
