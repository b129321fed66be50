"""The proxy, between real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.proxy import Proxy
from tests.conftest import patience


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_send_back, args=(connection,), daemon=True).start()


def _send_back(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy(echo: str) -> Iterator[Proxy]:
    """A proxy before it."""
    proxy = Proxy()
    proxy.upstream = echo
    yield proxy
    proxy.close()


def connected(proxy: Proxy) -> socket.socket:
    """A connection through it."""
    host, _, port = proxy.address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=patience(10))
    connection.sendall(b"hello")
    return connection


def exchange(connection: socket.socket, count: int) -> None:
    """Send so many bytes, and take those that come back."""
    for _ in range(0, count, 10_000):
        connection.sendall(bytes(10_000))
        connection.recv(1 << 16)


def test_bytes_pass(proxy: Proxy) -> None:
    """Both ways."""
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"


def test_a_cut(proxy: Proxy) -> None:
    """Resets what is open, and nothing that comes later."""
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert proxy.cuts == 1
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"


def test_a_cut_in_the_middle(proxy: Proxy) -> None:
    """Comes when so many bytes have passed, and only once."""
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"
        proxy.cut_after(100_000)
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            exchange(connection, 1_000_000)
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"


def test_a_stall(proxy: Proxy) -> None:
    """Holds the bytes back, and loses none."""
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"
        proxy.stall()
        connection.sendall(b"again")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(5)
        proxy.go_on()
        connection.settimeout(patience(10))
        assert connection.recv(5) == b"again"


def test_refusing(proxy: Proxy) -> None:
    """Ends new connections at once, and leaves open ones alone."""
    with connected(proxy) as before:
        assert before.recv(5) == b"hello"
        proxy.refuse()
        with pytest.raises(ConnectionResetError), connected(proxy) as connection:
            connection.recv(5)
        before.sendall(b"again")
        assert before.recv(5) == b"again"
        proxy.go_on()
    with connected(proxy) as connection:
        assert connection.recv(5) == b"hello"


def test_nobody_is_behind_it(proxy: Proxy) -> None:
    """Then nobody is before it."""
    proxy.upstream = "127.0.0.1:1"
    with pytest.raises(ConnectionResetError), connected(proxy) as connection:
        connection.recv(5)
