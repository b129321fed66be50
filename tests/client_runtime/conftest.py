"""Small real servers that behave as a test wants, and an environment that says nothing."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Routes = dict[tuple[str, str], tuple[int, str]]


@dataclass
class WebServer:
    """A server whose answers are a table; what is not in it is 404.

    Attributes:
        url: "http://127.0.0.1:PORT".
        routes: method and path to status and body.
        requests: method, path and headers of every request so far.
    """

    url: str
    routes: Routes
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [path for _, path, _ in self.requests]


@pytest.fixture
def web_server() -> Iterator[Callable[[Routes], WebServer]]:
    """Starts a WebServer."""
    started: list[ThreadingHTTPServer] = []

    def start(routes: Routes) -> WebServer:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                server.requests.append((self.command, self.path, dict(self.headers)))
                status, body = routes.get((self.command, self.path), (404, "not here"))
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", body)
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_PUT = _answer  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Say nothing."""

        listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append(listener)
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        server = WebServer(f"http://127.0.0.1:{listener.server_port}", routes)
        return server

    yield start
    for listener in started:
        listener.shutdown()
        listener.server_close()


@pytest.fixture
def raw_server() -> Iterator[Callable[..., str]]:
    """Starts a server that writes these pieces, a pause before each, whatever it is asked."""
    stopped = threading.Event()
    listeners: list[socket.socket] = []

    def start(*pieces: bytes, pause: float = 0.0, stays: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65_536)  # what is left unread would reset the connection
                    for piece in pieces:
                        time.sleep(pause)
                        connection.sendall(piece)
                    if stays:
                        stopped.wait(30)
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stopped.set()
    for listener in listeners:
        listener.close()


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and no variable that leads anywhere."""
    for name in list(os.environ):
        if name.startswith(("ACCEL_", "AWS_", "ECS_", "EI_")) and name != "ACCEL_TEST_TIME_SCALE":
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    monkeypatch.setenv("ACCEL_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("client_runtime.discovery.instance_metadata.is_ec2_instance", lambda: False)
    return home
