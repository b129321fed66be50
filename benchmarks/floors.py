"""What nobody can be faster than: moving the same bytes with nothing around them.

A way is "memcpy", "tls" or "grpc-stream". All but the first have their far end in another process.
"""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from benchmarks.servers import HEADER_BYTES, METHOD, UNBOUNDED, receive
from benchmarks.work import ANSWER_BYTES, WORKS
from benchmarks.worker import Caller

_PIECE = 1024 * 1024


def start_server(kind: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """A server of `benchmarks.servers` and its port; it ends with this process.

    Raises:
        OSError: it did not start.
    """
    command = [sys.executable, "-m", "benchmarks.servers", kind, str(folder)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise OSError(f"the {kind} server did not start")
    return server, int(line)


class Floors:
    """See the module.

    Args:
        certificates: folder of the server's certificate and key, and of the authority's.
    """

    def __init__(self, certificates: str) -> None:
        self._folder = Path(certificates)
        self._ports: dict[str, int] = {}
        self._servers: list[subprocess.Popen[str]] = []

    def caller(self, work: str, way: str) -> Caller:
        """See `worker.Contestant`."""
        feed = WORKS[work].feed()
        if way == "memcpy":
            target = np.empty_like(feed)
            return lambda: np.copyto(target, feed)
        payload = memoryview(feed.tobytes())
        return self._over_tls(payload) if way == "tls" else self._over_grpc(payload)

    def _port(self, kind: str) -> int:
        if kind not in self._ports:
            server, self._ports[kind] = start_server(kind, self._folder)
            self._servers.append(server)
        return self._ports[kind]

    def _over_tls(self, payload: memoryview) -> Caller:
        context = ssl.create_default_context(cafile=str(self._folder / "ca.pem"))
        plain = socket.create_connection(("127.0.0.1", self._port("tls")))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = context.wrap_socket(plain, server_hostname="localhost")
        header = len(payload).to_bytes(HEADER_BYTES, "little")
        answer = memoryview(bytearray(ANSWER_BYTES))
        # One record where it is small: two would be two packets, which is no floor.
        whole = header + bytes(payload) if len(payload) < _PIECE else None

        def call() -> None:
            if whole is not None:
                connection.sendall(whole)
            else:
                connection.sendall(header)
                connection.sendall(payload)
            if not receive(connection, answer):
                raise ConnectionError("the floor's server ended")

        return call

    def _over_grpc(self, payload: memoryview) -> Caller:
        import grpc

        credentials = grpc.ssl_channel_credentials((self._folder / "ca.pem").read_bytes())
        channel = grpc.secure_channel(
            f"localhost:{self._port('grpc')}", credentials, options=UNBOUNDED
        )
        calls: SimpleQueue[memoryview] = SimpleQueue()
        stream = channel.stream_stream(METHOD)(_messages(calls))

        def call() -> None:
            calls.put(payload)
            next(stream)

        return call


def _messages(calls: SimpleQueue[memoryview]) -> Iterator[bytes]:
    """Pieces of each payload, then the empty message that asks for the answer."""
    while True:
        payload = calls.get()
        for start in range(0, len(payload), _PIECE):
            yield bytes(payload[start : start + _PIECE])
        yield b""
