"""One exchange with a stranger ends in time, whatever the stranger does."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

from client_runtime.discovery.bounded_http import MAX_BYTES, Deadline, ExchangeError, exchange
from tests.conftest import patience

OK = b"HTTP/1.1 200 OK\r\n"


def get(url: str, seconds: float = 5.0, **options: Any) -> Any:
    """A GET."""
    return exchange("GET", url, Deadline.after(patience(seconds)), **options)


def test_answer(web_server: Callable[..., Any]) -> None:
    """Status and body; the host, and what else was asked for, are in the headers."""
    server = web_server({("GET", "/a/b"): (200, " text\n")})
    reply = get(f"{server.url}/a/b", headers={"X-Token": "t"})
    assert (reply.status, reply.text) == (200, "text")
    headers = server.requests[0][2]
    assert headers["Host"] == server.url.removeprefix("http://")
    assert (headers["X-Token"], headers["Connection"]) == ("t", "close")
    assert get(f"{server.url}/nothing").status == 404


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([OK + b"Content-Length: 2\r\n\r\n", b"ok"], "ok"),
        ([OK + b"\r\nok"], "ok"),
        ([OK[:7], OK[7:] + b"\r\no", b"k"], "ok"),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"], "ok"),
        ([OK + b"Content-Length: 2\r\n\r\n\xff\xfe"], ""),
    ],
)
def test_forms_of_an_answer(raw_server: Callable[..., str], pieces: list[bytes], text: str) -> None:
    """With a length, until the end, in chunks; other than ASCII is no text."""
    assert get(raw_server(*pieces)).text == text


def test_the_end_is_not_waited_for(raw_server: Callable[..., str]) -> None:
    """A server that keeps the connection open costs nothing."""
    started = time.monotonic()
    get(raw_server(OK + b"Content-Length: 2\r\n\r\nok", stays=True), 20)
    assert time.monotonic() - started < patience(5)


def test_redirects_are_not_followed(web_server: Callable[..., Any]) -> None:
    """They could lead anywhere."""
    server = web_server({("GET", "/"): (302, "/elsewhere"), ("GET", "/elsewhere"): (200, "x")})
    assert get(f"{server.url}/").status == 302
    assert server.asked == ["/"]


def test_proxies_are_not_used(
    web_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metadata service is on this machine or beside it."""
    server = web_server({("GET", "/"): (200, "direct")})
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(server.url).text == "direct"


@pytest.mark.parametrize(
    "pieces", [[OK[:9]], [OK, b"X: "], [OK + b"\r\n", b"body"], []],
    ids=["status", "headers", "body", "nothing"],
)  # fmt: skip
def test_slow_peers_meet_the_deadline(raw_server: Callable[..., str], pieces: list[bytes]) -> None:
    """A byte now and then does not extend it."""
    url = raw_server(*pieces, *[b"x"] * 200, pause=0.05)
    started = time.monotonic()
    with pytest.raises(ExchangeError, match="in time"):
        get(url, 0.5)
    assert time.monotonic() - started < patience(0.5) + 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not a web server"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not a web server"),
        (b"\x16\x03\x01" * 40, "not a web server"),
        (OK + b"Content-Length: 100\r\n\r\nshort", "cut off"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "not a web server"),
        (OK + b"X: y\r\n" * 200 + b"\r\n", "not a web server"),
        (OK + b"\r\n" + b"x" * (MAX_BYTES + 1), "too large"),
        (OK + b"\r\n" + b"x" * (4 * MAX_BYTES), "too large"),
    ],
)
def test_what_is_no_answer(raw_server: Callable[..., str], raw: bytes, why: str) -> None:
    """Said in words."""
    with pytest.raises(ExchangeError, match=why):
        get(raw_server(raw))


def test_as_much_as_is_allowed(raw_server: Callable[..., str]) -> None:
    """The limit itself."""
    assert len(get(raw_server(OK + b"\r\n" + b"x" * MAX_BYTES)).body) == MAX_BYTES


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://h/", "https://h/", "http://", "http://u:p@h/", "http://h/?q", "http://h/#f",
     "http://h/a b", "http://h/a\r\nX: y", "http://h:x/", "http://h:99999/", "http://[::1/",
     "http://h\u00fc/", "http://" + "a" * 300 + ".example/", "http://a..b/"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    """Nothing is sent."""
    with pytest.raises(ExchangeError):
        get(url, 1)


def test_nobody_there() -> None:
    """Told as the system tells it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ExchangeError, match="cannot be reached"):
        get(f"http://127.0.0.1:{port}/")


def test_tls_is_checked(raw_server: Callable[..., str]) -> None:
    """Plain text where TLS is expected fails the handshake."""
    url = raw_server(OK + b"\r\nok").replace("http:", "https:")
    with pytest.raises(ExchangeError, match="TLS handshake"):
        get(url, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
