"""The REST API's socket and event loop: a thread of its own, which ends with its requests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

from aiohttp import web

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError

Application = Callable[[threading.Event], web.AppRunner]
_BACKLOG = 1024


class RestServer:
    """An application on a port.

    Args:
        application: made and run in the server's own event loop; its argument is set when the
            server drains, and its runner's time-out is how long requests may still take then.
        port: to listen on, in all of IPv6 and IPv4, or in IPv4 where there is no IPv6.
        tls: None for plain HTTP.

    Raises:
        ServingError: the port cannot be had.
    """

    def __init__(
        self,
        application: Application,
        port: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._application, self._tls = application, tls
        self._socket = listening_socket(port)
        self.port = int(self._socket.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rest", daemon=True)
        self._started, self._draining = threading.Event(), threading.Event()
        self._end = asyncio.Event()
        self._error: Exception | None = None

    def start(self) -> None:
        """Accept requests.

        Raises:
            Exception: the application cannot be made.
        """
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    def drain(self) -> None:
        """Accept nothing more, and let requests end in time."""
        self._draining.set()
        if self._thread.is_alive() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:
            self._error = error
        finally:
            self._loop.close()
            # Last of all: who is told of the error may drain at once.
            self._started.set()

    async def _serve(self) -> None:
        runner = self._application(self._draining)
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
