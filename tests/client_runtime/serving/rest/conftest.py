"""A real server on loopback, in a thread, before a model in NumPy."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from client_runtime.serving.rest.application import application, runner
from client_runtime.serving.rest.hooks import Hooks
from client_runtime.serving.rest.options import RestOptions
from tests.client_runtime.serving.rest.half_plus_two import HalfPlusTwo
from tests.conftest import patience


@dataclass
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """What it says that went wrong."""
        assert self.headers["Content-Type"] == "application/json"
        return str(self.json["error"])


@dataclass
class Server:
    """A server that runs."""

    port: int
    model: HalfPlusTwo
    hooks: Hooks = field(default_factory=Hooks)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience(30))
        data = body.encode() if isinstance(body, str) else body
        with contextlib.closing(connection):
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def predict(self, body: bytes | str, path: str = "/v1/models/half:predict") -> Answer:
        """POST this body."""
        return self.ask("POST", path, body)


@contextlib.contextmanager
def serve(options: RestOptions, hooks: Hooks | None = None) -> Iterator[Server]:
    """A server with these options."""
    model, hooks = HalfPlusTwo(), hooks or Hooks()
    loop = asyncio.new_event_loop()
    app_runner = runner(application(model, model, options, hooks))

    async def start() -> int:
        await app_runner.setup()
        site = web.TCPSite(app_runner, "127.0.0.1", 0)
        await site.start()
        return int(app_runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(patience(30))
        yield Server(port, model, hooks)
    finally:
        asyncio.run_coroutine_threadsafe(app_runner.cleanup(), loop).result(patience(30))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(patience(30))
        loop.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One with the options as they are."""
    with serve(RestOptions(threads=4)) as running:
        yield running
