"""Strangers cannot keep others out by having all connections, unless they come from everywhere."""

from __future__ import annotations

import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from accel_daemon.accelerator.crowding import Stranger, to_close
from accel_protocol.limits import Limits
from tests.accel_daemon.accelerator.served_accelerator import ServedAccelerator, served
from tests.conftest import eventually, patience

MOST = 64
Crowd = Callable[[int, str], list[ssl.SSLSocket]]
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


def strangers(address: str, number: int, since: float = 0.0) -> list[Stranger]:
    """Connections from one address, each a second younger than the one before."""
    return [Stranger(address, 5000 + index, since + index) for index in range(number)]


@pytest.mark.parametrize(("opened", "closed"), [(0, 0), (48, 0), (49, 17), (64, 32), (90, 58)])
def test_a_crowd_is_halved(opened: int, closed: int) -> None:
    """And what is none is left alone."""
    assert len(to_close(strangers("192.0.2.1", opened), opened, MOST)) == closed


def test_whoever_has_most_loses_them() -> None:
    """The oldest ones first; who has few keeps them."""
    few, many = strangers("192.0.2.1", 3), strangers("192.0.2.2", 61, since=100.0)
    assert to_close([*few, *many], 64, MOST) == many[:32]


def test_several_crowds_are_brought_to_one_size() -> None:
    """Neither of them is spared for the other."""
    both = [*strangers("192.0.2.1", 40), *strangers("192.0.2.2", 24)]
    closed = Counter(one.address for one in to_close(both, 64, MOST))
    assert closed == {"192.0.2.1": 24, "192.0.2.2": 8}


def test_a_network_of_ipv6_is_one_address() -> None:
    """Any host has as many addresses of it as it likes."""
    many = [Stranger(f"2001:db8::{index:x}", 1, 5.0) for index in range(60)]
    others = [Stranger(f"2001:db8:{index:x}::1", 1, 0.0) for index in range(1, 5)]
    assert set(to_close([*others, *many], 64, MOST)) <= set(many)


def test_known_ones_are_no_choice() -> None:
    """Where they are the crowd, the few strangers go, and no more can be done."""
    assert len(to_close(strangers("192.0.2.1", 4), 64, MOST)) == 4


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """An accelerator that may have few connections."""
    with served(tmp_path, Limits(connections=MOST)) as running:
        yield running


@pytest.fixture
def crowd(accelerator: ServedAccelerator) -> Iterator[Crowd]:
    """Opens so many connections from an address, which finish TLS and say nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with ExitStack() as stack:

        def opened(number: int, address: str) -> list[ssl.SSLSocket]:
            connections = []
            for _ in range(number):
                plain = socket.create_connection(
                    ("127.0.0.1", accelerator.server.port),
                    patience(10),
                    source_address=(address, 0),
                )
                with suppress(OSError):  # more than there may be are closed at once
                    connections.append(stack.enter_context(context.wrap_socket(plain)))
                    connections[-1].sendall(HTTP2)
            return connections

        yield opened


def is_served(channel: grpc.Channel, accelerator: ServedAccelerator) -> bool:
    """Whether a client is answered."""
    listing = channel.unary_unary("/accel.v1.Accelerator/List")
    with suppress(grpc.RpcError):
        return bool(listing(b"", metadata=accelerator.ticket(), timeout=patience(5)))
    return False


def test_a_newcomer_is_served(accelerator: ServedAccelerator, crowd: Crowd) -> None:
    """Although a stranger had all connections a moment ago."""
    assert len(crowd(MOST, "127.0.0.2")) == MOST
    with accelerator.channel() as newcomer:
        eventually(lambda: is_served(newcomer, accelerator))


def is_closed(connection: ssl.SSLSocket) -> bool:
    """Whether the other side has closed it."""
    connection.setblocking(False)
    try:
        while connection.recv(1024):
            pass
    except ssl.SSLWantReadError:
        return False
    except OSError:
        pass
    return True


def test_who_was_served_stays_connected(accelerator: ServedAccelerator, crowd: Crowd) -> None:
    """Crowds from its own address come and go; a connection with a ticket is not touched."""
    states: list[grpc.ChannelConnectivity] = []
    strangers: list[ssl.SSLSocket] = []
    with accelerator.channel() as client:
        assert is_served(client, accelerator)
        client.subscribe(states.append)
        while sum(map(is_closed, strangers)) < 2 * MOST:
            strangers.extend(crowd(MOST // 4, "127.0.0.1"))
        assert is_served(client, accelerator)
    assert set(states) <= {grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.SHUTDOWN}
