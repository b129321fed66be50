"""Where lanes begin: a listening socket, handshakes, and a bound on those who prove nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections import OrderedDict
from typing import Protocol

from accel_daemon.accelerator.lanes.lane import House, Lane
from accel_daemon.accelerator.lanes.wire import Wire, peer_name
from accel_protocol.errors import AcceleratorError

_log = logging.getLogger(__name__)
# For the handshake and the first message, of anyone.
_STRANGER_SECONDS = 10.0
# Connections that have not shown a good ticket yet; the oldest one makes room for the next.
MOST_STRANGERS = 64
_FULL_SECONDS = 0.1


class Handshake(Protocol):
    """What a connection has to go through before it may open a lane."""

    def prepare(self, connection: socket.socket) -> socket.socket:
        """The socket to go on with; must not wait.

        Raises:
            OSError, ValueError: it is gone, or not for this.
        """

    def shake(self, connection: socket.socket) -> bool:
        """Whether the other side may go on; may wait as long as the socket's time-out says."""


class LaneListener:
    """Accepts connections, each of which gets a thread and becomes a lane.

    Args:
        listener: listens.
        house: what lanes share.
        handshake: of its connections.
    """

    def __init__(self, listener: socket.socket, house: House, handshake: Handshake) -> None:
        self._listener, self._house, self._handshake = listener, house, handshake
        self._strangers: OrderedDict[int, socket.socket] = OrderedDict()
        self._lanes: set[Lane] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="lanes", daemon=True)

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Accept none any more; lanes that are open go on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def end_all(self, error: AcceleratorError) -> None:
        """End the lanes that are open; calls that are on them finish."""
        with self._lock:
            lanes = list(self._lanes)
        for lane in lanes:
            lane.end_stream(error)

    @property
    def waiting(self) -> int:
        """How many lanes a client may take for open although nothing is on them."""
        with self._lock:
            return sum(lane.is_waiting for lane in self._lanes)

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except ConnectionError:
                continue  # it was gone before it was accepted
            except OSError as error:
                if self._listener.fileno() < 0:
                    return
                _log.warning("a lane could not be accepted: %s", error.strerror)
                time.sleep(_FULL_SECONDS)  # too many open files, most probably
            else:
                self._begin(connection, peer_name(address))

    def _begin(self, connection: socket.socket, peer: str) -> None:
        try:
            connection.settimeout(_STRANGER_SECONDS)
            prepared = self._handshake.prepare(connection)
        except (OSError, ValueError):
            connection.close()
            return
        with self._lock:
            self._strangers[id(prepared)] = prepared
            if len(self._strangers) > MOST_STRANGERS:
                _, oldest = self._strangers.popitem(last=False)
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own, which spoils what another thread is inside of; and that
                    # thread can still send the alert that says that it had begun nothing.
                    socket.socket.shutdown(oldest, socket.SHUT_RD)
        work = (prepared, peer)
        try:
            threading.Thread(target=self._serve, args=work, name="lane", daemon=True).start()
        except RuntimeError:  # no more threads
            self._forget(prepared)

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            if self._handshake.shake(connection):
                self._serve_lane(connection, Wire(connection, peer, _STRANGER_SECONDS))
        finally:
            self._forget(connection)

    def _serve_lane(self, connection: socket.socket, wire: Wire) -> None:
        lane = Lane(self._house, wire, lambda: self._admit(connection))
        with self._lock:
            self._lanes.add(lane)
        try:
            lane.serve()
        finally:
            with self._lock:
                self._lanes.discard(lane)

    def _admit(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(id(connection), None)
        connection.settimeout(self._house.service.limits.idle_call_seconds)

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(id(connection), None)
        connection.close()
