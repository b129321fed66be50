"""One HTTP exchange with a stranger: bounded in time and size, no redirects, no proxies.

Metadata services and daemons that have not proven who they are yet are asked through here. Whatever
they do, the call ends at its deadline: the socket's own timeout starts anew with every byte that
arrives, so a peer that sends one byte a second would hold a usual HTTP client for hours.
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

MAX_BYTES = 64 * 1024
_TARGET = re.compile(r"/[!-~]*")
_PORTS = {"http": 80, "https": 443}


class ExchangeError(Exception):
    """No usable answer; its text is a clause that says why, fit for people."""


@dataclass(frozen=True)
class Reply:
    """An answer: the status, and the whole body of at most MAX_BYTES."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text without blanks around it; "" when it is not ASCII."""
        return self.body.decode("ascii").strip() if self.body.isascii() else ""


@dataclass(frozen=True)
class Deadline:
    """When to give up, in seconds of time.monotonic(), and how long a connection may take."""

    at: float
    connect_seconds: float

    @staticmethod
    def after(seconds: float, connect_seconds: float | None = None) -> Deadline:
        """So many seconds from now."""
        return Deadline(time.monotonic() + seconds, connect_seconds or seconds)

    def left(self) -> float:
        """Seconds left.

        Raises:
            ExchangeError: none are.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise ExchangeError("it did not answer in time")
        return left


def exchange(
    method: str,
    url: str,
    deadline: Deadline,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Reply:
    """Send a request without a body.

    Args:
        method: "GET" or "PUT".
        url: http:// without `tls`, https:// with it; no user, no query, printable ASCII.
        deadline: of the whole exchange.
        headers: besides Host and Connection.
        tls: what the peer must prove, if anything.

    Raises:
        ExchangeError: the address is unusable, nobody answers in time, or what answers is not HTTP
            or more than MAX_BYTES.
    """
    host, port, netloc, target = _split(url, "https" if tls else "http")
    lines = {"Host": netloc, "Connection": "close", "Content-Length": "0", **(headers or {})}
    if method == "GET":
        del lines["Content-Length"]
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    try:
        raw = _converse(host, port, f"{head}\r\n".encode("ascii"), deadline, tls)
    except (OSError, UnicodeError) as error:
        raise ExchangeError(_why(error)) from None
    return _parse(method, raw)


def _split(url: str, scheme: str) -> tuple[str, int, str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[scheme]
    except ValueError:
        raise ExchangeError("its address is malformed") from None
    target = parts.path or "/"
    usable = parts.scheme == scheme and parts.hostname and "@" not in parts.netloc
    if not usable or parts.query or parts.fragment or not url.isascii():
        raise ExchangeError(f"its address is not {scheme}://HOST:PORT")
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(f"/{parts.netloc}"):
        raise ExchangeError("its address is malformed")
    return parts.hostname or "", port, parts.netloc, target


def _converse(
    host: str, port: int, request: bytes, deadline: Deadline, tls: ssl.SSLContext | None
) -> bytes:
    connect_seconds = min(deadline.connect_seconds, deadline.left())
    with socket.create_connection((host, port), timeout=connect_seconds) as plain:
        plain.settimeout(deadline.left())
        if tls is None:
            return _send_and_read(plain, request, deadline)
        with tls.wrap_socket(plain, server_hostname=host) as secured:
            return _send_and_read(secured, request, deadline)


def _send_and_read(connection: socket.socket, request: bytes, deadline: Deadline) -> bytes:
    connection.settimeout(deadline.left())
    connection.sendall(request)
    received = bytearray()
    while not _is_whole(received):
        connection.settimeout(deadline.left())
        piece = connection.recv(MAX_BYTES)
        if not piece:
            break
        received += piece
        if len(received) > 2 * MAX_BYTES:
            raise ExchangeError("its answer is too large")
    return bytes(received)


def _is_whole(received: bytearray) -> bool:
    """Whether all that Content-Length promised is there; without one, the end is the end."""
    head, blank, body = bytes(received).partition(b"\r\n\r\n")
    if not blank:
        return False
    length = re.search(rb"(?im)^content-length:[ \t]*([0-9]{1,9})[ \t]*\r?$", head)
    return length is not None and len(body) >= int(length[1])


class _Recorded:
    """As much of a socket as http.client's parser needs: what was received."""

    def __init__(self, received: bytes) -> None:
        self._received = received

    def makefile(self, mode: str) -> io.BytesIO:
        """See socket.socket."""
        return io.BytesIO(self._received)


def _parse(method: str, raw: bytes) -> Reply:
    response = http.client.HTTPResponse(cast(socket.socket, _Recorded(raw)), method=method)
    try:
        response.begin()
        body = response.read(MAX_BYTES + 1)
    except (http.client.HTTPException, ValueError, OSError):
        raise ExchangeError("what answers is not a web server") from None
    if len(body) > MAX_BYTES:
        raise ExchangeError("its answer is too large")
    if response.length:
        raise ExchangeError("its answer was cut off")
    return Reply(response.status, body)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason or 'no reason given'})"
    if isinstance(error, OSError):
        return f"it cannot be reached ({error.strerror or type(error).__name__})"
    return "its address is malformed"
