"""Runs on the thread that received the call, without a way over the event loop.

Only where nothing has to be decided first: the graph is loaded, and nothing is emulated. What else
holds for a run holds here as well: its place in the queue, its bounds in time and memory, the
record for the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from accel_daemon.accelerator.loaded_graph import Loaded, Outcome, left_of
from accel_daemon.accelerator.memory_watch import MemoryWatch
from accel_daemon.accelerator.residency import Residency
from accel_daemon.accelerator.run_queue import RunQueue
from accel_daemon.accelerator.run_stream import Call, Timing
from accel_daemon.accelerator.vigil import Vigil
from accel_daemon.flight_record import Entry
from accel_protocol.errors import AnswerLostError, CancelledError


class Cancellable(Protocol):
    """From where a run may be cancelled while it goes on."""

    def begin(self, cancel: Callable[[], object]) -> None:
        """It goes on from now on; `cancel` works on any thread, and may be called at once."""

    def end(self) -> None:
        """It is over."""

    def fail(self, error: Exception) -> None:
        """Its caller need not wait any more; on the event loop."""


class Work:
    """What goes on in an engine on another thread; what `Stopping` needs of a future."""

    is_over = False

    def done(self) -> bool:
        """Whether it is over."""
        return self.is_over

    def exception(self) -> None:
        """Its own thread looks at that."""

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Nobody has to be told."""


class Stopping(Protocol):
    """Stops runs; on the event loop."""

    def starve(self, loaded: Loaded, work: Work, entry: Entry) -> None:
        """There is no memory for it."""

    def cancel(self, loaded: Loaded, work: Work, entry: Entry) -> None:
        """Nobody wants it any more."""


class DirectRuns:
    """See the module. Thread-safe.

    Args:
        loaded: the graphs that are, by id.
        residency: keeps them while they run.
        queue, vigil, watch: those of all runs.
        stopping: of the table of graphs.
    """

    def __init__(
        self,
        loaded: Mapping[bytes, Loaded],
        residency: Residency,
        queue: RunQueue,
        vigil: Vigil,
        watch: MemoryWatch,
        stopping: Stopping,
    ) -> None:
        self._loaded, self._residency, self._queue = loaded, residency, queue
        self._vigil, self._watch, self._stopping = vigil, watch, stopping

    def run(
        self, call: Call, loop: asyncio.AbstractEventLoop, cancellable: Cancellable
    ) -> Outcome | None:
        """Run a call on this thread; None where it has to go over the event loop.

        Args:
            call: what to run.
            loop: of the table of graphs.
            cancellable: see there.

        Raises:
            ModelError, BusyError, DeadlineError, FeedError, GraphError, CancelledError.
        """
        loaded = self._loaded.get(call.graph_id)
        if loaded is None:
            return None
        is_loaded = self._residency.pin(call.graph_id)
        try:
            return self._run_on(loaded, call, loop, cancellable) if is_loaded else None
        except CancelledError:
            # Another caller's cancelled run took the graph with it.
            if not loaded.stopped:
                raise
            if not loaded.graph.repeatable:
                raise AnswerLostError("The graph was stopped while this call ran.") from None
            return None
        except Exception:
            loaded.count_failure()
            raise
        finally:
            self._residency.unpin(call.graph_id)

    def _run_on(
        self,
        loaded: Loaded,
        call: Call,
        loop: asyncio.AbstractEventLoop,
        cancellable: Cancellable,
    ) -> Outcome:
        received = time.monotonic()
        self._queue.enter_thread(call.timeout, call.graph_id)
        began = time.monotonic()
        try:
            timeout = self._vigil.bounded(left_of(call.timeout, received))
            entry, work = self._vigil.run(call.graph_id, timeout), Work()

            def starve(error: Exception) -> None:
                cancellable.fail(error)
                self._stopping.starve(loaded, work, entry)

            followed = self._watch.follow_thread(starve, loop)
            try:
                cancellable.begin(lambda: soon(loop, self._stopping.cancel, loaded, work, entry))
                entry.begin()
                started = time.monotonic()
                fetches = loaded.graph.run(call.feeds, timeout)
            finally:
                work.is_over = True
                entry.end()
                cancellable.end()
                self._watch.leave_thread(followed)
        finally:
            ended = time.monotonic()
            self._queue.leave_thread(ended - began)
        timing = Timing(queue=started - received, compute=ended - started)
        loaded.count(timing)
        return Outcome(fetches, timing, loaded.graph.repeatable)


def soon(loop: asyncio.AbstractEventLoop, do: Callable[..., object], *given: object) -> None:
    """Do it on the loop, unless that has ended and everything with it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(do, *given)
