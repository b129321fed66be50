"""The control endpoint's TLS, and what it does with slow and large clients."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from accel_daemon.control.gate import MAX_BODY_BYTES
from accel_daemon.control.server import build_app, load_leaf, server_context, serving
from accel_daemon.control.service import ControlService
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor.fleet import Fleet

SERVICE = ControlService(
    fleet=Fleet(()),
    identities=Identities,
    tickets=TicketSigner.generate(),
    region="us-east-1",
    is_ready=lambda: True,
)


def connect(daemon: Any, context: ssl.SSLContext, name: str = "127.0.0.1") -> ssl.SSLSocket:
    """A TLS connection to the control endpoint."""
    url = urlsplit(daemon.ready["control"])
    plain = socket.create_connection((url.hostname, url.port), timeout=5)
    return context.wrap_socket(plain, server_hostname=name)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_certificate(daemon: Any, name: str) -> None:
    """Valid for the address and for localhost, over TLS 1.3."""
    with connect(daemon, daemon.tls(), name) as connection:
        assert connection.version() == "TLSv1.3"


def test_tls_1_2_is_spoken_and_1_1_is_not(daemon: Any) -> None:
    """Nothing older than TLS 1.2."""
    context = daemon.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with connect(daemon, context) as connection:
        assert connection.version() == "TLSv1.2"
    context = daemon.tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        connect(daemon, context)


def test_plain_text_gets_no_answer(daemon: Any) -> None:
    """There is no HTTP without TLS."""
    url = urlsplit(daemon.ready["control"])
    with socket.create_connection((url.hostname, url.port), timeout=5) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            answer = plain.recv(1000)
        except ConnectionResetError:
            answer = b""
    assert b"HTTP" not in answer


@pytest.mark.parametrize(
    ("size", "reason"), [(MAX_BODY_BYTES, "INVALID_CALL"), (MAX_BODY_BYTES + 1, "LIMIT_EXCEEDED")]
)
def test_body_limit(daemon: Any, size: int, reason: str) -> None:
    """At the limit the body is looked at, one byte above it is not."""
    answer = daemon.call("POST", "/connect", b"x" * size, key=daemon.keys["ann"])
    assert answer.json()["reason"] == reason


def test_header_limit(daemon: Any) -> None:
    """A header that is too long ends the request."""
    with connect(daemon, daemon.tls()) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.0 400")


def test_key_lies_in_no_file_afterwards(tmp_path: Path) -> None:
    """Python reads keys from files only; the one it read is gone."""
    authority = create_authority(datetime.now(UTC), "CA")
    load_leaf(server_context(), authority, ("box.example",), datetime.now(UTC), tmp_path)
    assert list(tmp_path.iterdir()) == []


def exchange(service: ControlService, sent: bytes, idle_seconds: float) -> bytes:
    """What the endpoint answers to some bytes, after which the client falls silent."""

    async def work() -> bytes:
        async with serving(build_app(service), "127.0.0.1", 0, idle_seconds=idle_seconds) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            return answer

    return asyncio.run(work())


def test_client_that_never_finishes_its_head_is_cut_off() -> None:
    """It holds its connection for the idle time only."""
    assert exchange(SERVICE, b"GET /healthz HTTP/1.1\r\nHost: x\r\n", 0.3) == b""


def test_client_that_never_finishes_its_body_is_told_so() -> None:
    """It holds its request for the body time only."""
    head = b"POST /connect HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
    answer = exchange(replace(SERVICE, body_seconds=0.2), head + b"{", 30)
    assert answer.startswith(b"HTTP/1.1 504")
    assert b"DEADLINE_EXCEEDED" in answer


def test_target_that_is_no_path() -> None:
    """Such a target could mean one thing to the signature and another to the router."""
    sent = b"GET http://x/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert b'"reason": "INVALID_CALL"' in exchange(SERVICE, sent, 30)


def test_compressed_body_is_not_unpacked() -> None:
    """What is signed is what is sent, and a small request cannot become a large one."""
    head = (
        b"POST /connect HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\n"
    )
    assert b"MISSING_CREDENTIALS" in exchange(SERVICE, head + b"junk", 30)
