"""The REST API's socket and event loop: a thread of its own, which ends with its requests."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from accel_protocol.errors import Status
from client_runtime.serving.access.asked_models import models_of_path
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.statuses import ServingError, http_status

_log = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Who asks whether the server lives has no key; a page's preflight request cannot carry one.
PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
_BACKLOG = 1024


class RestServer:
    """An application on a port.

    Args:
        application: made and used in the server's own event loop.
        guard: who is let in.
        port: to listen on, in all of IPv6 and IPv4, or in IPv4 where there is no IPv6.
        tls: None for plain HTTP.
        drain_seconds: how long requests may still take after `drain`.

    Raises:
        ServingError: the port cannot be had.
    """

    def __init__(
        self,
        application: Callable[[], web.Application],
        guard: Guard,
        port: int,
        tls: ssl.SSLContext | None,
        drain_seconds: float,
    ) -> None:
        self._application, self._guard, self._tls = application, guard, tls
        self._drain_seconds = drain_seconds
        self._socket = listening_socket(port)
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)
        self._started = threading.Event()
        self._end: asyncio.Event | None = None

    def start(self) -> None:
        """Accept requests."""
        self._thread.start()
        self._started.wait()

    def drain(self) -> None:
        """Accept nothing more, and let requests end in time."""
        assert self._end is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._end = asyncio.Event()
        application = self._application()
        application.middlewares.insert(0, guarding(self._guard))
        runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=self._drain_seconds,
        )
        await runner.setup()
        await web.SockSite(runner, self._socket, ssl_context=self._tls, backlog=_BACKLOG).start()
        self._started.set()
        await self._end.wait()
        await runner.cleanup()


def listening_socket(port: int) -> socket.socket:
    """A socket that listens on a port, of both families of addresses where there are both.

    Raises:
        ServingError: the port cannot be had.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
        return socket.create_server(("0.0.0.0", port), backlog=_BACKLOG)  # noqa: S104 - as asked
    except OSError as error:
        raise ServingError(
            Status.UNAVAILABLE, f"The REST server cannot listen on port {port}: {error.strerror}"
        ) from None


def guarding(guard: Guard) -> Middleware:
    """A middleware that refuses requests without a good key."""

    @web.middleware
    async def admit(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path not in PUBLIC_PATHS and request.method != "OPTIONS":
            try:
                guard.admit(request.headers.get, models_of_path(request.raw_path))
            except ServingError as refusal:
                return _refused(refusal)
        return await handler(request)

    return admit


def _refused(refusal: ServingError) -> web.Response:
    response = web.Response(
        status=http_status(refusal.status),
        text=json.dumps({"error": refusal.message}, indent=4),
        content_type="application/json",
    )
    if refusal.status is Status.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
