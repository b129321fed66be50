"""The control endpoint as a whole: application, TLS, and limits on slow or large clients."""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from accel_daemon.clock import Readings
from accel_daemon.control.accelerator_types import (
    describe_accelerator_offerings,
    describe_accelerator_types,
)
from accel_daemon.control.authority_certificate import authority_certificate
from accel_daemon.control.connect import connect
from accel_daemon.control.describe import describe_accelerators
from accel_daemon.control.faults import clear_fault, clear_faults, inject_fault, list_faults
from accel_daemon.control.gate import MAX_BODY_BYTES, SIGNATURES, gate
from accel_daemon.control.http_log import LOG as HTTP_LOG
from accel_daemon.control.metrics import metrics
from accel_daemon.control.request_audit import STRANGERS, strangers_throttle
from accel_daemon.control.security_tokens import security_tokens
from accel_daemon.control.service import SERVICE, ControlService
from accel_daemon.control.status import healthz, status
from accel_daemon.control.tags import list_tags, tag, untag
from accel_daemon.iam.replays import SignatureMemory
from accel_daemon.pki.authority import Authority, issue_leaf
from accel_daemon.supervisor.addresses import alternative_names
from accel_protocol.errors import ConfigurationError

MAX_HEADER_LINE_BYTES = 8190
# Also ends a connection that does not send a whole request head within this time.
IDLE_CONNECTION_SECONDS = 30.0
SHUTDOWN_SECONDS = 2.0
# How long the rest of a refused request is still read, so that the client sees the answer.
LINGERING_SECONDS = 1.0


def build_app(service: ControlService) -> web.Application:
    """The application with all routes, each behind the gate."""
    app = web.Application(middlewares=[gate], client_max_size=MAX_BODY_BYTES)
    app[SERVICE] = service
    app[SIGNATURES] = SignatureMemory()
    app[STRANGERS] = strangers_throttle()
    app.router.add_get("/ca.pem", authority_certificate, allow_head=False)
    app.router.add_get("/healthz", healthz, allow_head=False)
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/status", status, allow_head=False)
    app.router.add_post("/", security_tokens)
    app.router.add_post("/connect", connect)
    app.router.add_get("/describe-accelerator-types", describe_accelerator_types, allow_head=False)
    app.router.add_post("/describe-accelerator-offerings", describe_accelerator_offerings)
    app.router.add_post("/describe-accelerators", describe_accelerators)
    app.router.add_get("/tags/{resourceArn}", list_tags, allow_head=False)
    app.router.add_post("/tags/{resourceArn}", tag)
    app.router.add_delete("/tags/{resourceArn}", untag)
    app.router.add_get("/faults", list_faults, allow_head=False)
    app.router.add_post("/faults", inject_fault)
    app.router.add_delete("/faults", clear_faults)
    app.router.add_delete("/faults/{faultId}", clear_fault)
    return app


def server_context() -> ssl.SSLContext:
    """A TLS context for servers, TLS 1.2 or newer, still without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load_leaf(
    context: ssl.SSLContext,
    authority: Authority,
    hosts: tuple[str, ...],
    now: Readings,
    folder: Path,
) -> None:
    """Give a context a fresh certificate for these hosts; connections made from then on show it.

    Args:
        context: of the running server, or a new one.
        authority: who signs it.
        hosts: names or addresses besides localhost and loopback.
        now: time of issue.
        folder: a private one: Python reads keys from files only, so the key lies there, with mode
            0600, while it is read.
    """
    names = alternative_names(*hosts)
    leaf = issue_leaf(
        authority,
        name="localhost",
        dns_names=names.dns_names,
        ip_addresses=names.ip_addresses,
        now=now.wall,
        steady=now.steady,
    )
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".leaf-") as file:
        file.write(leaf.private_key_pem + leaf.certificate_pem)
        file.flush()
        context.load_cert_chain(file.name)


@asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    context: ssl.SSLContext | None = None,
    idle_seconds: float = IDLE_CONNECTION_SECONDS,
    hop_limit: int | None = None,
) -> AsyncIterator[int]:
    """Serve an application; gives the port, and stops serving at the end.

    Args:
        app: the application.
        host: address to listen on.
        port: to listen on; 0 lets the system choose.
        context: for TLS.
        idle_seconds: how long a connection may be silent.
        hop_limit: the time to live of all IPv4 packets that are sent; None for the system's.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=HTTP_LOG,
        handle_signals=False,
        keepalive_timeout=idle_seconds,
        max_line_size=MAX_HEADER_LINE_BYTES,
        max_field_size=MAX_HEADER_LINE_BYTES,
        auto_decompress=False,  # signatures are over the bytes as they were sent
        lingering_time=LINGERING_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        try:
            await _site(runner, host, port, context, hop_limit).start()
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} of {host} cannot be listened on: {error.strerror}.",
                remedy="Stop what uses it, or choose another --host or --port.",
            ) from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _site(
    runner: web.AppRunner,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    hop_limit: int | None,
) -> web.BaseSite:
    if hop_limit is None:
        return web.TCPSite(runner, host, port, ssl_context=context)
    listener = socket.socket(socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it, and so does the first answer to whoever wants to connect.
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hop_limit)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return web.SockSite(runner, listener, ssl_context=context)
