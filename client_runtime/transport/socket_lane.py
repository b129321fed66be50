"""A Run stream on a socket of its own, without gRPC: see LaneOpen in the .proto file."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
from collections.abc import Iterable, Iterator

from google.protobuf.message import DecodeError

from accel_protocol.errors import (
    AcceleratorError,
    ConnectionLostError,
    DeadlineError,
    StreamError,
)
from accel_protocol.frames import Message
from accel_protocol.lanes import (
    INTERRUPTED_CALL,
    LANE_VERSION,
    LOCAL_BUFFER_BYTES,
    TLS_PROTOCOL,
    is_local_name,
    local_address,
    user_of,
)
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.message_stream import Incoming, MessageReader, write_message
from accel_protocol.tensors import Buffer
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.channel import from_message
from client_runtime.transport.grants import Grant, trusting

# A lane is a short cut: who cannot have it soon takes the long way.
CONNECT_SECONDS = 2.0
OPEN_SECONDS = 3.0
# What is sent before the accelerator has answered that the lane is open. Sockets hold as much
# without anyone reading it, so that neither side waits for the other to read.
EARLY_BYTES = 48 * 1024
# A host that vanished is noticed within half a minute, also in the middle of a call.
_TCP = (("TCP_NODELAY", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 2))
_UNACKNOWLEDGED_MS = 25_000
_LAST_WORD_SECONDS = 1.0
# Where a system has no such flag, whether anything came is asked with select.
_LOOK = int(socket.MSG_PEEK) | int(getattr(socket, "MSG_DONTWAIT", 0))


class NoLaneError(ConnectionLostError):
    """This lane cannot be had, which says nothing of others."""


class SocketLane:
    """See `lane.Lane`. A first call may be sent before the accelerator has answered the opening.

    It begins no call on a lane that it refuses. A refusal is raised where the answer is waited for:
    by `wait_until_open`, `receive`, or `send` where there is much to be sent.

    Args:
        connection: connected; TLS is verified.
        grant: whose ticket is shown on it.
        seconds: how long the accelerator may take to answer that, where a call waits to be sent.

    Raises:
        OSError: it broke.
    """

    def __init__(
        self, connection: socket.socket, grant: Grant, seconds: float = OPEN_SECONDS
    ) -> None:
        self.grant = grant
        self._socket = connection
        self._reader = MessageReader(self._read_into, DEFAULT_LIMITS)
        self._lock = threading.Lock()
        self._users, self._is_closed = 0, False
        self.has_begun_nothing = False
        self._seconds, self._is_opened = seconds, False
        asked = pb.LaneOpen(version=LANE_VERSION, ticket=grant.ticket)
        connection.settimeout(None)
        self._early = write_message(connection.sendall, [asked.SerializeToString()])

    def wait_until_open(self) -> None:
        """Wait for the answer to the opening, for as long as the accelerator may take.

        Raises:
            NoLaneError: the lane cannot be had.
            AcceleratorError: the accelerator refused it.
        """
        self._enter()
        try:
            self._await_opening(self._seconds)
        finally:
            self._leave()

    def _await_opening(self, seconds: float | None) -> None:
        if self._is_opened:
            return
        self._socket.settimeout(seconds)
        try:
            opened = _read_opened(self._reader.next_whole())
        except (ConnectionLostError, StreamError) as error:
            # An alert, which nobody else can send, came in place of the answer.
            self.has_begun_nothing = "_ALERT_" in str(getattr(error.__cause__, "reason", ""))
            raise NoLaneError(error.message) from error
        self._socket.settimeout(None)
        if opened.HasField("error"):
            self.has_begun_nothing = True
            raise _refusal(opened.error)
        self._is_opened = True

    def is_taken_up(self) -> bool:
        """See `Lane.is_taken_up`."""
        return True  # who is not there neither shakes hands nor answers

    def send(self, messages: Iterable[Message]) -> None:
        """See `Lane.send`."""
        self._enter()
        try:
            for message in messages:
                if not self._is_opened:
                    self._early += sum(map(len, message))
                    if self._early > EARLY_BYTES:
                        self._await_opening(self._seconds)
                write_message(self._write, message)
        finally:
            self._leave()

    def receive(self) -> Incoming:
        """See `Lane.receive`."""
        self._enter()
        try:
            self._await_opening(None)
            incoming = self._reader.next()
        finally:
            self._leave()
        if incoming is None:
            raise ConnectionLostError("The accelerator ended the lane.")
        if incoming.frame.call_id == 0 and incoming.frame.error is not None:
            raise self._ended(incoming.frame.error)
        return incoming

    def _ended(self, data: memoryview) -> AcceleratorError:
        error = _why_it_ended(data)
        self.has_begun_nothing = INTERRUPTED_CALL not in error.fields
        return error

    def fill(self, room: memoryview) -> None:
        """See `Lane.fill`."""
        self._enter()
        try:
            self._reader.fill(room)
        finally:
            self._leave()

    def is_open(self) -> bool:
        """See `Lane.is_open`; between two calls, when nothing is expected."""
        if self._is_closed:
            return False
        # What came unasked is a farewell, and so is the end.
        return not _has_something(self._socket)

    def close(self) -> None:
        """See `Lane.close`; on any thread."""
        with self._lock:
            self._is_closed = True
            if not self._users:
                self._socket.close()
                return
        with contextlib.suppress(OSError):
            # Wakes the thread that is inside; SSLSocket's own method would spoil what it works on.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _enter(self) -> None:
        """This thread is inside the socket until `_leave`.

        Raises:
            ConnectionLostError: the lane is closed.
        """
        with self._lock:
            if self._is_closed:
                raise ConnectionLostError("The lane was given up meanwhile.")
            self._users += 1

    def _leave(self) -> None:
        """It is not any more; the socket is closed where that was asked for meanwhile."""
        with self._lock:
            self._users -= 1
            if self._is_closed and not self._users:
                self._socket.close()

    def _read_into(self, room: memoryview) -> int:
        try:
            return self._socket.recv_into(room)
        except OSError as error:
            raise ConnectionLostError("The lane's connection broke.") from error

    def _write(self, data: Buffer) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._last_word() or ConnectionLostError(
                "The lane's connection broke."
            ) from error

    def _last_word(self) -> AcceleratorError | None:
        """What the accelerator said before it stopped reading, if it said anything."""
        try:
            self._await_opening(_LAST_WORD_SECONDS)
            self._socket.settimeout(_LAST_WORD_SECONDS)
            incoming = self._reader.next()
        except (OSError, AcceleratorError) as error:
            is_known = self.has_begun_nothing or isinstance(error, NoLaneError)
            return error if is_known and isinstance(error, AcceleratorError) else None
        if incoming is None or incoming.frame.error is None:
            return None
        return self._ended(incoming.frame.error)


def open_tls_lane(endpoint: Endpoint, grant: Grant, seconds: float = OPEN_SECONDS) -> SocketLane:
    """A lane over TLS 1.3 that accepts this accelerator only; it may still be refused.

    Args:
        endpoint: whose authority is trusted.
        grant: says where.
        seconds: how long each step may take.

    Raises:
        NoLaneError: it cannot be had.
    """
    with _or_no_lane():
        connection = _connect(grant.lane_address, seconds)
        with _closed_on_failure(connection):
            tls = _with_tls(connection, endpoint, grant)
        with _closed_on_failure(tls):
            return SocketLane(tls, grant, seconds)


def open_local_lane(grant: Grant, seconds: float = OPEN_SECONDS) -> SocketLane:
    """A lane to an accelerator on this host whose daemon is run by this user.

    Args:
        grant: says which.
        seconds: how long each step may take.

    Raises:
        NoLaneError: it cannot be had; for instance, it is another host's.
        AcceleratorError: the accelerator refused it.
    """
    with _or_no_lane():
        if not is_local_name(grant.local_lane) or not hasattr(socket, "AF_UNIX"):
            raise OSError("it has no such name")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with _closed_on_failure(connection):
            connection.settimeout(min(CONNECT_SECONDS, seconds))
            connection.connect(local_address(grant.local_lane))
            if user_of(connection) != os.geteuid():
                raise OSError("another user listens there")
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                connection.setsockopt(socket.SOL_SOCKET, option, LOCAL_BUFFER_BYTES)
            lane = SocketLane(connection, grant, seconds)
            # The system connects in place of an accelerator that has hung, which shakes no hands.
            lane.wait_until_open()
            return lane


@contextlib.contextmanager
def _or_no_lane() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ConnectionLostError, StreamError) as error:
        raise NoLaneError(str(error)) from error


@contextlib.contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


def _connect(address: str, seconds: float) -> socket.socket:
    host, _, port = address.rpartition(":")
    patience = min(CONNECT_SECONDS, seconds)
    connection = socket.create_connection((host.strip("[]"), int(port)), patience)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*_TCP, ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MS)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.settimeout(seconds)
    return connection


def _with_tls(connection: socket.socket, endpoint: Endpoint, grant: Grant) -> ssl.SSLSocket:
    context = trusting(endpoint.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([TLS_PROTOCOL])
    # The certificate must name the accelerator itself, whatever address leads to it.
    tls = context.wrap_socket(connection, server_hostname=grant.server_name)
    with _closed_on_failure(tls):
        if tls.selected_alpn_protocol() != TLS_PROTOCOL:
            raise OSError("what listens there has no lanes")
    return tls


def _read_opened(message: bytes | None) -> pb.LaneOpened:
    if message is None:
        raise ConnectionLostError("The accelerator ended the lane before it began.")
    try:
        return pb.LaneOpened.FromString(message)
    except DecodeError:
        raise StreamError("The accelerator's first message cannot be read.") from None


def _refusal(error: pb.Error) -> AcceleratorError:
    typed = from_message(error)
    # It has no lanes now, or no time for one; what it said of tickets and places holds for all.
    if isinstance(typed, ConnectionLostError | DeadlineError):
        return NoLaneError(typed.message, request_id=typed.request_id)
    return typed


def _why_it_ended(data: memoryview) -> AcceleratorError:
    try:
        return from_message(pb.Error.FromString(bytes(data)))
    except DecodeError:
        return StreamError("Why the lane ended cannot be read.")


def _has_something(connection: socket.socket) -> bool:
    """Whether something came that was not read, the end included; does not wait."""
    if not hasattr(socket, "MSG_DONTWAIT"):
        return bool(select.select([connection], [], [], 0)[0])
    try:
        # Past TLS, which allows no flags.
        socket.socket.recv(connection, 1, _LOOK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
