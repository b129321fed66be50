"""The REST API as an aiohttp application: reads bodies, has threads do the work, writes answers."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web

from accel_protocol.errors import AcceleratorError, Status
from client_runtime.serving.access.asked_models import models_of_line
from client_runtime.serving.events import RequestBegan, RequestEnded
from client_runtime.serving.request_ids import request_id
from client_runtime.serving.rest import bodies, paths
from client_runtime.serving.rest.handling import JSON, Handling, Reply
from client_runtime.serving.rest.hooks import Hooks
from client_runtime.serving.rest.message_writing import error_body
from client_runtime.serving.rest.options import RestOptions
from client_runtime.serving.rest.paths import Target
from client_runtime.serving.servable import Bounds, Caller, Catalog, Inference
from client_runtime.serving.statuses import ServingError, from_accelerator, http_status, invalid

T = TypeVar("T")

_log = logging.getLogger(__name__)

_ORIGIN = re.compile("https?://")
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_NOT_FOUND = (
    b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
)
_TOO_LARGE = 413
_LIST = re.compile("/v1/models", re.IGNORECASE)


def application(
    inference: Inference,
    catalog: Catalog,
    options: RestOptions,
    hooks: Hooks | None = None,
) -> web.Application:
    """The REST API, to be run by `runner`."""
    shell = _Shell(inference, catalog, options, hooks or Hooks())
    app = web.Application(client_max_size=0)  # bodies are bounded here
    app.router.add_route("*", "/{path:.*}", shell.handle)
    app.on_cleanup.append(shell.end)
    return app


def runner(app: web.Application, drain_seconds: float = 60.0) -> web.AppRunner:
    """Runs the application: bodies come as they were sent, and work ends when its client leaves.

    Args:
        app: what to run.
        drain_seconds: how long requests may still take once the runner is cleaned up.
    """
    return web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        shutdown_timeout=drain_seconds,
    )


@dataclass
class _Exchange:
    """One request on its way, as its RequestEnded is going to tell.

    Attributes:
        is_told: whether it is for what is below /v1/, and was let in.
        caller: once its body is there.
        reply: what the answer is made of.
    """

    request: web.Request
    request_id: str
    began_at: float = field(default_factory=time.monotonic)
    is_told: bool = False
    api: str = ""
    target: Target | None = None
    received: int = 0
    caller: Caller | None = None
    reply: Reply | None = None
    error: Status | None = None


class _Shell:
    def __init__(
        self, inference: Inference, catalog: Catalog, options: RestOptions, hooks: Hooks
    ) -> None:
        self._handling = Handling(inference, catalog, hooks.editor)
        self._catalog, self._options, self._hooks = catalog, options, hooks
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix="rest")
        self._held = bodies.HeldBytes(options.max_held_bytes)

    async def end(self, app: web.Application) -> None:
        """Take no further work; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request."""
        sent_id = request.headers.get("X-Request-Id", "")
        exchange = _Exchange(request, request_id(sent_id))
        sent: int | None = None
        try:
            response = await self._answered(exchange)
            sent = response.content_length or 0
        finally:
            if sent is None:
                exchange.error = Status.CANCELLED
            if exchange.is_told:
                self._hooks.observe(_ended(exchange, sent or 0))
        response.headers["X-Request-Id"] = exchange.request_id
        if exchange.reply is not None and exchange.reply.version:
            response.headers["X-Model-Version"] = str(exchange.reply.version)
        if paths.is_served(request.raw_path) and self._options.cors:
            response.headers.update(_CORS)
        if self._hooks.draining.is_set():
            response.force_close()
        return response

    async def _answered(self, exchange: _Exchange) -> web.Response:
        request = exchange.request
        try:
            return await self._answer(exchange)
        except bodies.TooLargeError as error:
            exchange.error = Status.RESOURCE_EXHAUSTED
            response = _error(_TOO_LARGE, str(error))
            response.force_close()
            return response
        except ServingError as error:
            failure = error
        except AcceleratorError as error:
            failure = from_accelerator(error)
        except Exception:
            _log.exception("%s: %s %s", exchange.request_id, request.method, request.raw_path)
            failure = ServingError(Status.INTERNAL, f"Internal error in {exchange.request_id}")
        exchange.error = failure.status
        response = _error(http_status(failure.status), failure.message)
        if failure.status is Status.UNAUTHENTICATED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    async def _answer(self, exchange: _Exchange) -> web.Response:
        request = exchange.request
        path = request.raw_path
        reading = request.method in ("GET", "HEAD")
        if reading and path in ("/healthz", "/readyz"):
            return self._health(path)
        if request.method == "OPTIONS" and paths.is_served(path):
            allowed = _ORIGIN.search(request.headers.get("Origin", ""))
            return web.Response(status=200 if allowed else 400)
        models = models_of_line(request.method, path)
        guard, caller = self._hooks.guard, _caller(exchange)
        guard.admit(request.headers.get, models, caller)
        if reading and path in self._hooks.pages:
            # Not on the requests' threads: these may all be busy.
            page = await asyncio.to_thread(self._hooks.pages[path])
            return web.Response(body=page.body, content_type=page.content_type)
        if not paths.is_served(path):
            return web.Response(status=404, body=_NOT_FOUND, content_type="text/html")
        # A place is for what runs a model, and is asked for before its body is read.
        with guard.place(caller) if request.method == "POST" else nullcontext():
            exchange.is_told = True
            if request.method == "GET" and self._options.list_models and _LIST.fullmatch(path):
                exchange.api = "list"
                return await self._reply(exchange, self._handling.listing)
            return await self._model(exchange)

    def _health(self, path: str) -> web.Response:
        well = path == "/healthz" or (self._catalog.ready() and not self._hooks.draining.is_set())
        return web.Response(status=200 if well else 503, text="ok\n" if well else "not ready\n")

    async def _model(self, exchange: _Exchange) -> web.Response:
        request = exchange.request
        target = paths.parse(
            request.method, request.raw_path, may_change=self._hooks.editor is not None
        )
        exchange.target, exchange.api = target, target.method.value
        with self._held.share() as take:
            body = await self._body(exchange, take)
            timeout = self._options.timeout_seconds
            give_up_at = time.monotonic() + timeout if timeout > 0 else None
            exchange.caller = caller = _caller(exchange)
            bounds = Bounds(give_up_at, caller=caller)
            self._hooks.observe(RequestBegan(caller, target.name))
            try:
                return await self._reply(
                    exchange, lambda: self._work(request, target, body, bounds)
                )
            except asyncio.CancelledError:
                bounds.cancellation.cancel()
                raise

    def _work(self, request: web.Request, target: Target, body: bytes, bounds: Bounds) -> Reply:
        bounds.left()  # it may have waited for a thread
        unpacked = self._unpacked(request, body)
        return self._handling.reply(target, unpacked, request.content_type, bounds)

    async def _body(self, exchange: _Exchange, take: Callable[[int], None]) -> bytes:
        most = self._options.max_body_bytes
        parts: list[bytes] = []
        try:
            async for part in exchange.request.content.iter_any():
                exchange.received += len(part)
                if exchange.received > most:
                    raise bodies.TooLargeError(f"The body has more than {most} bytes.")
                take(len(part))
                parts.append(part)
        except web.RequestPayloadError as error:
            raise invalid(f"The body cannot be read: {error}") from None
        return b"".join(parts)

    def _unpacked(self, request: web.Request, body: bytes) -> bytes:
        if "gzip" not in request.headers.get("Content-Encoding", "").lower():
            return body
        return bodies.unpacked(body, self._options.max_unpacked_bytes)

    async def _reply(self, exchange: _Exchange, work: Callable[[], Reply]) -> web.Response:
        """What a thread makes of a request, as a response."""
        accepted = exchange.request.headers.get("Accept-Encoding", "")
        packing = self._options.gzip_answers and bodies.accepts_gzip(accepted)

        def done() -> tuple[Reply, bytes | None]:
            reply = work()
            worth = packing and len(reply.body) >= bodies.WORTH_BYTES
            return reply, bodies.packed(reply.body) if worth else None

        reply, packed = await self._in_thread(done)
        exchange.reply = reply
        response = web.Response(body=packed or reply.body, content_type=reply.content_type)
        if packed is not None:
            response.headers["Content-Encoding"] = "gzip"
        if packing:
            response.headers["Vary"] = "Accept-Encoding"
        return response

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _caller(exchange: _Exchange) -> Caller:
    peer = exchange.request.remote or ""
    return Caller(exchange.request_id, "REST", exchange.api, peer, exchange.received)


def _error(status: int, message: str) -> web.Response:
    return web.Response(status=status, body=error_body(message), content_type=JSON)


def _ended(exchange: _Exchange, bytes_out: int) -> RequestEnded:
    target, reply = exchange.target, exchange.reply or Reply(b"")
    answered = reply.answered
    version = reply.version or (target.version if target is not None else None)
    return RequestEnded(
        caller=exchange.caller or _caller(exchange),
        model="" if target is None else target.name,
        version=version,
        signature="" if answered is None else answered.model_spec.signature_name,
        status=exchange.error,
        began_at=exchange.began_at,
        seconds=time.monotonic() - exchange.began_at,
        request=reply.asked,
        response=answered,
        bytes_out=bytes_out,
    )
