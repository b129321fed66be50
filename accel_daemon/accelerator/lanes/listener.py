"""Where lanes begin: a listening socket, TLS handshakes, a bound on those who prove nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections import OrderedDict

from accel_daemon.accelerator.lanes.lane import House, Lane
from accel_daemon.accelerator.lanes.lane_certificate import LaneCertificate
from accel_daemon.accelerator.lanes.wire import SocketWire, peer_name
from accel_protocol.errors import AcceleratorError
from accel_protocol.lanes import TLS_PROTOCOL

_log = logging.getLogger(__name__)
# For the handshake and the first message, of anyone.
_STRANGER_SECONDS = 10.0
# Connections that have not shown a good ticket yet; the oldest one makes room for the next.
MOST_STRANGERS = 64
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class LaneListener:
    """Accepts connections, each of which gets a thread and becomes a lane.

    Args:
        listener: listens.
        house: what lanes share.
        certificate: what they show.

    Attributes:
        port: where it listens, or did.
    """

    def __init__(self, listener: socket.socket, house: House, certificate: LaneCertificate) -> None:
        self._listener, self._house, self.certificate = listener, house, certificate
        self.port = int(listener.getsockname()[1])
        self._strangers: OrderedDict[int, ssl.SSLSocket] = OrderedDict()
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
                threading.Event().wait(0.1)  # too many open files, most probably
                continue
            self._begin(connection, peer_name(address))

    def _begin(self, connection: socket.socket, peer: str) -> None:
        try:
            tls = self._prepare(connection)
        except (OSError, ValueError):
            connection.close()  # it is gone already
            return
        with self._lock:
            self._strangers[id(tls)] = tls
            if len(self._strangers) > MOST_STRANGERS:
                _, oldest = self._strangers.popitem(last=False)
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        try:
            threading.Thread(target=self._serve, args=(tls, peer), name="lane", daemon=True).start()
        except RuntimeError:  # no more threads
            self._forget(tls)

    def _prepare(self, connection: socket.socket) -> ssl.SSLSocket:
        connection.settimeout(_STRANGER_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        return self.certificate.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def _serve(self, tls: ssl.SSLSocket, peer: str) -> None:
        try:
            if _shakes_hands(tls):
                self._serve_lane(tls, SocketWire(tls, peer, _STRANGER_SECONDS))
        finally:
            self._forget(tls)

    def _serve_lane(self, tls: ssl.SSLSocket, wire: SocketWire) -> None:
        lane = Lane(self._house, wire, lambda: self._admit(tls))
        with self._lock:
            self._lanes.add(lane)
        try:
            lane.serve()
        finally:
            with self._lock:
                self._lanes.discard(lane)

    def _admit(self, tls: ssl.SSLSocket) -> None:
        with self._lock:
            self._strangers.pop(id(tls), None)
        tls.settimeout(self._house.service.limits.idle_call_seconds)

    def _forget(self, tls: ssl.SSLSocket) -> None:
        with self._lock:
            self._strangers.pop(id(tls), None)
        tls.close()


def _shakes_hands(tls: ssl.SSLSocket) -> bool:
    """Whether the other side speaks TLS, and means a lane; if not, that is nobody's business."""
    try:
        tls.do_handshake()
    except (OSError, ValueError):
        return False
    return tls.selected_alpn_protocol() == TLS_PROTOCOL
