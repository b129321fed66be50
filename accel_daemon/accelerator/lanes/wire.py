"""The sockets under lanes: bytes in, bytes out, and a thread that can be woken while it waits."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time

from accel_protocol.errors import ConnectionLostError
from accel_protocol.tensors import Buffer

_LAST_BYTES_SECONDS = 2.0
_DRAINED_BYTES = 1 << 20


class Wire:
    """A connected socket, with TLS or without.

    Its thread reads and writes; other threads may only `wake` it.

    Args:
        connection: connected, and blocking.
        peer: of whom, as gRPC names it: "ipv4:192.0.2.1:5000".
        seconds: how long a read or a write may wait.
    """

    def __init__(self, connection: socket.socket, peer: str, seconds: float) -> None:
        self._socket, self.peer = connection, peer
        connection.settimeout(seconds)
        self._woken = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    @property
    def patience(self) -> int:
        """How many seconds a read or a write may wait."""
        return round(self._socket.gettimeout() or 0)

    def wait(self) -> bool:
        """Wait, without end, until there is something to read; False where `wake` came before."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return all(descriptor != self._woken for descriptor, _ in self._poll.poll())

    def read_into(self, room: memoryview) -> int:
        """Fill the beginning of `room`; how many bytes came, 0 at the end.

        Raises:
            TimeoutError: nothing came in time.
            ConnectionLostError: it broke.
        """
        try:
            return self._socket.recv_into(room)
        except TimeoutError:
            raise
        except OSError as error:
            raise _broken() from error

    def write(self, data: Buffer) -> None:
        """Write all of it.

        Raises:
            TimeoutError: it was not taken in time.
            ConnectionLostError: it broke.
        """
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:
            raise _broken() from error

    def wake(self) -> None:
        """End `wait`, now or when it comes; on any thread."""
        with contextlib.suppress(OSError):  # it is closed already
            os.eventfd_write(self._woken, 1)

    def end_writing(self) -> None:
        """Let the other side see the end."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def close(self) -> None:
        """End it, after what was written last has arrived if that is possible."""
        with contextlib.suppress(OSError):
            self._read_the_rest()
        self._socket.close()
        woken, self._woken = self._woken, -1
        os.close(woken)

    def _read_the_rest(self) -> None:
        """What is not read when a socket is closed makes the kernel drop what was written last."""
        end, read = time.monotonic() + _LAST_BYTES_SECONDS, 0
        self._socket.settimeout(_LAST_BYTES_SECONDS)
        raw = self._socket
        while read < _DRAINED_BYTES and time.monotonic() < end:
            data = socket.socket.recv(raw, 1 << 16)
            if not data:
                return
            read += len(data)


def peer_name(address: tuple[str, int] | str | bytes) -> str:
    """GRPC's name of an address; who is on this host has its loopback address."""
    if isinstance(address, str | bytes):
        return "ipv4:127.0.0.1:0"
    host, port = address[0], address[1]
    return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"


def _broken() -> ConnectionLostError:
    return ConnectionLostError("The lane's connection broke.")
