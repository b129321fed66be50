"""One lane: a connection, its thread, and its place among the open Run streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError as WorkCancelledError
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from accel_daemon.accelerator import run_stream
from accel_daemon.accelerator.direct_runs import soon
from accel_daemon.accelerator.lanes.hang_ups import HangUps
from accel_daemon.accelerator.lanes.wire import Wire
from accel_daemon.accelerator.run_stream import Call, CallReceiver
from accel_daemon.accelerator.service import AcceleratorService, Tenant
from accel_daemon.accelerator.visits import Doorkeeper, Visit
from accel_protocol.errors import (
    AcceleratorError,
    ConnectionLostError,
    DeadlineError,
    InternalError,
    StreamError,
    VersionError,
)
from accel_protocol.frames import Message
from accel_protocol.lanes import INTERRUPTED_CALL, LANE_VERSION
from accel_protocol.message_stream import Incoming, MessageReader, write_message
from accel_protocol.methods import HOT_PATH, METHODS
from accel_protocol.v1 import accelerator_pb2 as pb

_log = logging.getLogger(__name__)
# For the loop to say whether a lane may open: it waits for policies for two seconds at most.
_ADMISSION_SECONDS = 10.0


@dataclass(frozen=True)
class House:
    """What all lanes of one accelerator share.

    Attributes:
        service: what answers.
        door: admits.
        loop: that both live on.
        hang_ups: tells who is gone.
        closed_for: why no lane is open at present; None where they are.
    """

    service: AcceleratorService
    door: Doorkeeper
    loop: asyncio.AbstractEventLoop
    hang_ups: HangUps
    closed_for: Callable[[], AcceleratorError | None] = lambda: None


class Lane:
    """Serves one connection on the current thread; `end_stream` may come from any.

    Args:
        house: what it shares with others.
        wire: the connection.
        admitted: told once a good ticket was shown.

    Attributes:
        is_waiting: whether its client may take it for open although nothing is on it.
    """

    def __init__(self, house: House, wire: Wire, admitted: Callable[[], object]) -> None:
        self._house, self._wire, self._admitted = house, wire, admitted
        limits = house.service.limits
        self._reader = MessageReader(wire.read_into, limits)
        self._receiver = CallReceiver(limits)
        self._lock = threading.Lock()
        # Of who writes while the lane's thread is inside the engine; the event loop never takes it.
        self._word = threading.Lock()
        self._ending: AcceleratorError | None = None
        self._is_calling = self._is_abandoned = self._is_given_up = False
        self._cancel: Callable[[], object] | None = None
        self._visit: Visit | None = None
        self._stream: asyncio.Task[object] | None = None
        self._over = asyncio.Event()
        self._seen: set[bytes] = set()
        self._running = 0  # the call that may have begun, 0 for none
        self._is_answered = False  # before its thread is back from the engine
        self._has_ended = self._has_said_why = False

    def serve(self) -> None:
        """Answer calls until the lane ends, and close the connection."""
        error: AcceleratorError | None = None
        try:
            tenant, visit = self._open()
            self._house.hang_ups.watch(self._wire.fileno(), self._abandoned)
            self._answer_calls(tenant, visit)
        except TimeoutError:
            seconds = self._wire.patience
            error = DeadlineError(f"The call's next bytes did not come, or go, within {seconds} s.")
        except AcceleratorError as failure:
            error = failure
        except Exception:
            _log.exception("a lane failed")
            error = InternalError("The accelerator failed on this lane.")
        self._close(error)

    def _open(self) -> tuple[Tenant, Visit]:
        """Have the lane admitted, and say so.

        Raises:
            AcceleratorError: it is not.
        """
        if (why := self._house.closed_for()) is not None:
            raise why
        asked = _read_open(self._reader.next_whole())
        metadata = (("authorization", f"Bearer {asked.ticket}"),)
        visit = self._visit = Visit(
            self._house.door, METHODS[HOT_PATH].path, metadata, self._wire.peer
        )
        if asked.version != LANE_VERSION:
            raise VersionError(f"This accelerator's lanes speak version {LANE_VERSION}.")
        opened: Future[Tenant] = Future()
        asyncio.run_coroutine_threadsafe(self._hold_open(visit, opened), self._house.loop)
        tenant = opened.result(_ADMISSION_SECONDS)
        self._admitted()
        answer = pb.LaneOpened(request_id=visit.request_id)
        write_message(self._wire.write, [answer.SerializeToString()])
        return tenant, visit

    async def _hold_open(self, visit: Visit, opened: Future[Tenant]) -> None:
        """The lane's place among the open streams; on the event loop."""
        service = self._house.service
        try:
            ticket = await visit.admit()
            assert ticket is not None
            with service.gate.streams.entered(ticket):
                self._stream = asyncio.current_task()
                opened.set_result(service.tenant_of(ticket))
                await self._over.wait()
        except AcceleratorError as error:
            if opened.done():
                self.end_stream(error)
            else:
                opened.set_exception(error)
        except BaseException:
            if not opened.done():
                opened.set_exception(ConnectionLostError("The accelerator is shutting down."))
            raise

    @property
    def is_waiting(self) -> bool:
        """See the class."""
        return not self._has_ended and not self._is_calling

    def end_stream(self, error: AcceleratorError) -> None:
        """End the lane with this error; a call that is on it may finish when the process drains."""
        with self._lock:
            self._ending = error
            if not self._is_calling:
                self._wire.wake()
            elif not isinstance(error, ConnectionLostError):
                self._give_up_call()
                self._in_background(self._say_why_early, error)

    def _abandoned(self) -> None:
        """The other side is gone."""
        with self._lock:
            self._is_abandoned = True
            self._give_up_call()

    def _give_up_call(self) -> None:
        self._is_given_up = True
        if self._cancel is not None:
            self._cancel()

    def fail(self, error: Exception) -> None:
        """See `direct_runs.Cancellable`."""
        self._in_background(self._answer_early, error)

    def _in_background(self, work: Callable[[Any], None], error: Exception) -> None:
        """On a thread of its own, because the event loop must not wait for who does not read."""
        threading.Thread(target=work, args=(error,), name="lane-word", daemon=True).start()

    def _answer_early(self, error: AcceleratorError) -> None:
        """Answer the call while its thread is inside the engine, and does not write."""
        with self._word:
            if self._cancel is not None and not self._is_answered:
                self._is_answered = True
                self._try_to_write([run_stream.refusal(self._running, error)])

    def _say_why_early(self, error: AcceleratorError) -> None:
        """End the lane while its thread is inside the engine, which may not let go of it soon."""
        with self._word:
            if self._cancel is not None:
                self._is_answered = True
                self._say_why(error)
                self._wire.end_writing()

    def _try_to_write(self, message: Message) -> None:
        with contextlib.suppress(TimeoutError, AcceleratorError):
            write_message(self._wire.write, message)

    def _answer_calls(self, tenant: Tenant, visit: Visit) -> None:
        service, messages, size = self._house.service, 0, 0
        while (incoming := self._next()) is not None:
            messages, size = messages + 1, size + incoming.size
            call = self._receiver.take(incoming, self._reader.fill)
            if call is not None:
                service.count_messages((messages, size), (0, 0))
                messages = size = 0
                self._answer_call(tenant, call, visit)
        service.count_messages((messages, size), (0, 0))

    def _answer_call(self, tenant: Tenant, call: Call, visit: Visit) -> None:
        messages = size = 0
        self._begin_call()
        self._running, self._is_answered = call.call_id, False
        try:
            answer = self._answer(tenant, call, visit)
            if not self._is_answered:
                for message in answer:
                    messages, size = messages + 1, size + write_message(self._wire.write, message)
            self._running = 0
        finally:
            self._house.service.count_messages((0, 0), (messages, size))
            self._end_call()
        if self._ending is not None:
            raise self._ending

    def _next(self) -> Incoming | None:
        """The next message; None at the end. A lane may be idle between two calls.

        Raises:
            TimeoutError: the rest of a call does not come.
            AcceleratorError: the lane is ended.
        """
        is_idle = self._reader.is_between and not self._receiver.is_midway
        if is_idle and not self._wire.wait() and self._ending is not None:
            raise self._ending
        return self._reader.next()

    def _begin_call(self) -> None:
        with self._lock:
            if self._ending is not None:
                raise self._ending
            self._is_calling = True
        self._house.service.gate.streams.begin_call(self._stream)

    def _end_call(self) -> None:
        with self._lock:
            self._is_calling = False
        self._house.service.gate.streams.end_call(self._stream)

    def _answer(self, tenant: Tenant, call: Call, visit: Visit) -> Iterable[Message]:
        service = self._house.service
        service.log_first_use(tenant, call.graph_id, self._seen, visit)
        direct = service.answer_directly(tenant, call, visit, self._house.loop, self)
        return direct or self._answer_on_loop(tenant, call, visit)

    def _answer_on_loop(self, tenant: Tenant, call: Call, visit: Visit) -> Iterable[Message]:
        work = asyncio.run_coroutine_threadsafe(
            self._house.service.answer(tenant, call, visit), self._house.loop
        )
        self.begin(work.cancel)
        try:
            return work.result()
        except WorkCancelledError:
            raise self._ending or ConnectionLostError("The lane was closed.") from None
        finally:
            self.end()

    def begin(self, cancel: Callable[[], object]) -> None:
        """See `direct_runs.Cancellable`."""
        with self._lock:
            self._cancel = cancel
            if self._is_given_up:
                cancel()

    def end(self) -> None:
        """See `direct_runs.Cancellable`."""
        with self._word, self._lock:
            self._cancel = None

    def _close(self, error: AcceleratorError | None) -> None:
        self._house.hang_ups.forget(self._wire.fileno())
        if error is not None and not self._is_abandoned:
            self._say_why(error)
        self._wire.end_writing()
        self._has_ended = True
        self._wire.close()
        soon(self._house.loop, self._over.set)

    def _say_why(self, error: AcceleratorError) -> None:
        """Say why the lane ends; once."""
        if self._has_said_why:
            return
        self._has_said_why = True
        visit = self._visit
        if visit is not None:
            error.request_id = visit.request_id
            _log.info("refused %s: %s", visit.request_id, error.reason)
            soon(self._house.loop, visit.refused, error)
        if self._stream is None:
            refusal = pb.LaneOpened(error=run_stream.error_message(error)).SerializeToString()
        else:
            if self._running:
                error.fields[INTERRUPTED_CALL] = str(self._running)
            refusal = run_stream.refusal(0, error)
        self._try_to_write([refusal])


def _read_open(message: bytes | None) -> pb.LaneOpen:
    """A lane's first message.

    Raises:
        ConnectionLostError: none came.
        StreamError: it is none.
    """
    if message is None:
        raise ConnectionLostError("The lane ended before it began.")
    try:
        return pb.LaneOpen.FromString(message)
    except DecodeError:
        raise StreamError("A lane's first message cannot be read.") from None
