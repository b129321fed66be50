"""The REST port: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from aiohttp import web

from client_runtime.serving.doors.rest_server import RestServer, listening_socket
from client_runtime.serving.statuses import ServingError
from tests.conftest import eventually, patience

Make = Callable[[threading.Event], web.AppRunner]


class Application:
    """Answers "/" with whether the server drains, and "/slow" once it is let go."""

    def __init__(self, drain_seconds: float = 30.0) -> None:
        self._drain_seconds = drain_seconds
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def make(self, draining: threading.Event) -> web.AppRunner:
        """See RestServer."""

        async def slow(request: web.Request) -> web.Response:
            self.entered.set()
            await asyncio.to_thread(self.let_go.wait, patience(30))
            return web.Response(text=str(draining.is_set()))

        app = web.Application()
        app.router.add_get("/slow", slow)
        return web.AppRunner(app, shutdown_timeout=patience(self._drain_seconds))


def get(server: RestServer, path: str, host: str = "127.0.0.1") -> str:
    """What is at a path."""
    url = f"http://{host}:{server.port}{path}"
    with urllib.request.urlopen(url, timeout=patience(30)) as answer:
        return str(answer.read().decode())


def test_a_drain_waits_for_requests_and_takes_no_more() -> None:
    """The application knows, and so does whoever connects."""
    app = Application()
    server = RestServer(app.make, 0, None)
    server.start()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(get(server, "/slow")))
    asking.start()
    assert app.entered.wait(patience(30))
    draining = threading.Thread(target=server.drain)
    draining.start()

    def is_refused() -> bool:
        try:
            socket.create_connection(("127.0.0.1", server.port), patience(5)).close()
        except ConnectionError:
            return True
        return False

    eventually(is_refused)
    assert draining.is_alive()
    app.let_go.set()
    draining.join(patience(30))
    asking.join(patience(30))
    assert (answers, draining.is_alive()) == (["True"], False)


def test_a_drain_ends_in_time() -> None:
    """What takes longer is cut off."""
    app = Application(drain_seconds=0.1)
    server = RestServer(app.make, 0, None)
    server.start()
    errors: list[Exception] = []

    def ask() -> None:
        try:
            get(server, "/slow")
        except (OSError, urllib.error.URLError) as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert app.entered.wait(patience(30))
    server.drain()
    asking.join(patience(30))
    app.let_go.set()
    assert len(errors) == 1


def test_both_families_of_addresses_come_through() -> None:
    """One port for IPv4 and, where there is it, IPv6."""
    app = Application()
    app.let_go.set()
    server = RestServer(app.make, 0, None)
    server.start()
    try:
        assert get(server, "/slow") == "False"
        if socket.has_dualstack_ipv6():
            assert get(server, "/slow", "[::1]") == "False"
    finally:
        server.drain()


def test_a_taken_port_is_refused() -> None:
    """Before anything is started."""
    with listening_socket(0) as taken, pytest.raises(ServingError, match="cannot listen"):
        RestServer(Application().make, taken.getsockname()[1], None)


def test_an_application_that_cannot_be_made_is_told() -> None:
    """To whoever starts the server, instead of waiting for ever."""

    def fail(draining: threading.Event) -> web.AppRunner:
        raise RuntimeError("no application")

    server = RestServer(fail, 0, None)
    with pytest.raises(RuntimeError, match="no application"):
        server.start()
    server.drain()
