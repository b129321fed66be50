"""Both doors of one server, in front of whatever answers: opened together, and drained together."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import grpc

from client_runtime.serving.access.guard import Guard
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.access.room import Room
from client_runtime.serving.doors.channel_arguments import Arguments, parse_channel_arguments
from client_runtime.serving.doors.grpc_server import GrpcServer
from client_runtime.serving.doors.health import Health
from client_runtime.serving.doors.rest_server import Application, RestServer
from client_runtime.serving.doors.services import SERVICES, Counter, services
from client_runtime.serving.doors.tls import TlsFiles, grpc_tls, rest_tls
from client_runtime.serving.events import Observer, nobody
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.servable import Catalog, Inference

_log = logging.getLogger(__name__)
# Threads wait for the accelerator, and requests that wait together become one batch.
_FEWEST_THREADS = 64
_THREADS_PER_CPU = 4
_SPARE_THREADS = 16


@dataclass(frozen=True)
class Served:
    """What is behind the doors.

    Attributes:
        inference, catalog: answer requests.
        rest: makes the REST API, which the guard stands in front of; asked once.
        observe: told of requests.
        counter: a counter of the metrics.
        handlers: of further gRPC services, by the service's name.
        end_sessions: ends calls of these that would go on for long, at the start of a drain.
    """

    inference: Inference
    catalog: Catalog
    rest: Callable[[Guard], Application]
    observe: Observer = nobody
    counter: Counter = lambda _: 0
    handlers: Mapping[str, grpc.GenericRpcHandler] = field(default_factory=dict)
    end_sessions: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Access:
    """What the flags say of who is let in, read from its files before models are loaded.

    Raises (of `of`):
        ServingError: a file cannot be used.
    """

    tls: TlsFiles | None
    rest_tls: ssl.SSLContext | None
    keys: KeyFile | None
    arguments: Arguments

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """Read it."""
        tls = grpc_tls(settings)
        rest = rest_tls(settings, tls)
        keys = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
        arguments = parse_channel_arguments(settings.grpc_channel_arguments)
        return cls(tls, rest.ssl_context() if rest else None, keys, arguments)


class Server:
    """A server whose ports are not open yet."""

    def __init__(self, settings: Settings, access: Access, served: Served) -> None:
        self._settings, self._access, self._served = settings, access, served
        self._lock = threading.Lock()
        self._has_ended = False
        self._places = max(0, settings.max_requests_in_flight)
        self._guard = Guard(access.keys, served.observe, Room(self._places))
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None

    def open(self) -> None:
        """Open the ports, unless it was drained before.

        Raises:
            ServingError: one cannot be had; none is open then.
        """
        with self._lock:
            if not self._has_ended:
                self._open()

    def _open(self) -> None:
        self._grpc = self._make_grpc()
        addresses = list(self._addresses())
        credentials = self._access.tls and self._access.tls.grpc_credentials()
        for address, _ in addresses:
            self._grpc.listen(address, credentials)
        self._rest = self._make_rest()
        self._grpc.start()
        for _, name in addresses:
            _log.info("Running gRPC ModelServer at %s ...", name)
        if self._rest is not None:
            self._rest.start()
            address = f"localhost:{self._rest.port}"
            _log.info("Exporting HTTP/REST API at:%s ...", address)

    def drain(self) -> None:
        """Say that it ends, accept nothing more, and let requests end within the time for it."""
        seconds = max(0.0, self._settings.drain_seconds)
        with self._lock:
            self._has_ended = True
        draining = [threading.Thread(target=one) for one in self._drains(seconds)]
        for one in draining:
            one.start()
        self._served.end_sessions()
        for one in draining:
            one.join()

    def _drains(self, seconds: float) -> Sequence[Callable[[], None]]:
        drains: list[Callable[[], None]] = []
        if (grpc_server := self._grpc) is not None:
            drains.append(lambda: grpc_server.drain(seconds))
        if self._rest is not None:
            drains.append(self._rest.drain)
        return drains

    def _addresses(self) -> Sequence[tuple[str, str]]:
        """Where to listen for gRPC, as gRPC and as people write it."""
        addresses = []
        if port := self._settings.port:
            addresses.append((f"0.0.0.0:{port}", f"0.0.0.0:{port}"))
        if path := self._settings.grpc_socket_path:
            addresses.append((f"unix:{path}", f"UNIX socket {path}"))
        return addresses

    def _make_grpc(self) -> GrpcServer:
        served, settings = self._served, self._settings
        handlers = services(
            served.inference, served.catalog, self._guard, served.counter, served.observe
        )
        is_checked = settings.enable_grpc_healthcheck_service
        return GrpcServer(
            [*handlers, *served.handlers.values()],
            [*SERVICES, *served.handlers],
            self._guard,
            grpc_threads(settings.grpc_max_threads, self._places),
            self._access.arguments,
            Health(served.catalog) if is_checked else None,
        )

    def _make_rest(self) -> RestServer | None:
        settings = self._settings
        if not settings.rest_api_port:
            return None
        if settings.rest_api_port == settings.port:
            _log.error(
                "server_options.http_port cannot be same as grpc_port. Please use a different "
                "port for HTTP/REST API. Skipped exporting HTTP/REST API."
            )
            return None
        application = self._served.rest(self._guard)
        return RestServer(application, settings.rest_api_port, self._access.rest_tls)


def threads(wanted: int) -> int:
    """As many threads as a flag says; where it says none, enough to fill batches."""
    return wanted if wanted > 0 else max(_FEWEST_THREADS, _THREADS_PER_CPU * (os.cpu_count() or 1))


def grpc_threads(wanted: int, places: int) -> int:
    """As many as a flag says, but more than there are places: who has none is refused at once."""
    return max(threads(wanted), places + _SPARE_THREADS) if places else threads(wanted)
