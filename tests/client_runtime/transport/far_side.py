"""A real gRPC server that does what a test says, behind a wire that a test can cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from accel_protocol.methods import METHODS

Behaviour = Callable[[Any, Any], Any]


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, behaviours: dict[str, Behaviour]) -> None:
        self._behaviours = behaviours

    def service(self, details: Any) -> Any:
        """The handler of a call."""
        name = details.method.rsplit("/", 1)[1]
        method = METHODS[name]
        kind = f"{'stream' if method.client_streams else 'unary'}_" + (
            "stream" if method.server_streams else "unary"
        )
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        if name == "Run":
            return make(self._behaviours[name])
        return make(
            self._behaviours[name], method.request.FromString, method.response.SerializeToString
        )


class FarSide:
    """The server; `behaviours` maps methods to what they do, and may be changed at any time."""

    def __init__(self, port: int = 0) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self._server = grpc.server(ThreadPoolExecutor(8), [_Handlers(self.behaviours)])
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def stop(self, grace: float = 0.0) -> None:
        """Send GOAWAY, and cut what is not over after the grace."""
        self._server.stop(grace).wait()


class Wire:
    """Carries connections to a port, until `up` or `down` bytes went that way: then it cuts all.

    After that everything passes, until bounds are set again.
    """

    def __init__(self, port: int) -> None:
        self.to = port
        self.up: int | None = None
        self.down: int | None = None
        self.cuts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(("127.0.0.1", self.to))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._open += [near, far]
                for pair in ((near, far, "up"), (far, near, "down")):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if self._is_over(way, len(data)):
                    self.cut()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_over(self, way: str, size: int) -> bool:
        with self._lock:
            left = getattr(self, way)
            if left is None:
                return False
            setattr(self, way, left - size if left > size else None)
            return bool(left <= size)

    def cut(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            self.cuts += 1
            ends, self._open = self._open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept nothing more, and cut."""
        self._listener.close()
        self.cut()


@contextlib.contextmanager
def wired() -> Iterator[tuple[FarSide, Wire]]:
    """A server and the wire to it."""
    far = FarSide()
    wire = Wire(far.port)
    try:
        yield far, wire
    finally:
        wire.close()
        far.stop()
