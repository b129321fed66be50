"""Connections that anybody can open cost an accelerator little, and its clients nothing."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import psutil
import pytest

from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import call
from client_runtime.transport.grants import Grant
from tests.conftest import eventually, patience
from tests.integration.conftest import LoneAccelerator

MIB = 1 << 20
FLOOD = 10_000
CROWD = DEFAULT_LIMITS.connections * 4 // 5
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def channel(lone_accelerator: LoneAccelerator) -> Iterator[grpc.Channel]:
    """A channel to the lone accelerator."""
    with lone_accelerator.channel() as opened:
        yield opened


@pytest.fixture
def process(lone_accelerator: LoneAccelerator) -> psutil.Process:
    """The accelerator's process."""
    return psutil.Process(lone_accelerator.process.pid)


@pytest.fixture
def flood_size() -> Iterator[int]:
    """As many connections as this process may have descriptors for, 10 000 at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(FLOOD, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(stack: ExitStack, port: int, count: int) -> None:
    """Open so many connections that say nothing; those that are not taken do not count."""
    for _ in range(count):
        connection = stack.enter_context(socket.socket())
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", port))


def is_served(channel: grpc.Channel, grant: Grant) -> bool:
    """Whether a call is answered."""
    return bool(call(channel, grant, "List", pb.ListRequest()).process.uptime_us)


def test_idle_connections(
    lone_accelerator: LoneAccelerator,
    channel: grpc.Channel,
    process: psutil.Process,
    flood_size: int,
) -> None:
    """A flood leaves a client served, and nothing behind once it is over."""
    grant = lone_accelerator.grant()
    assert is_served(channel, grant)
    descriptors, memory = process.num_fds(), process.memory_info().rss

    with ExitStack() as stack:
        for _ in range(0, flood_size, 500):
            opened(stack, lone_accelerator.port, 500)
            assert is_served(channel, grant)
            assert process.num_fds() <= descriptors + DEFAULT_LIMITS.connections + 16
    eventually(lambda: process.num_fds() <= descriptors + 16)
    assert process.memory_info().rss <= memory + 256 * MIB
    assert is_served(channel, grant)


def test_a_crowd_is_thinned_out(lone_accelerator: LoneAccelerator, flood_size: int) -> None:
    """Connections on which no ticket was shown are closed while there are too many."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with ExitStack() as stack:
        strangers = []
        for _ in range(CROWD):
            plain = socket.create_connection(("127.0.0.1", lone_accelerator.port), patience(20))
            strangers.append(stack.enter_context(context.wrap_socket(plain)))
            strangers[-1].sendall(HTTP2)
        eventually(lambda: sum(map(is_closed, strangers)) >= 100)
        with lone_accelerator.channel() as newcomer:
            assert is_served(newcomer, lone_accelerator.grant())


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


def test_who_connects_and_says_nothing(lone_accelerator: LoneAccelerator) -> None:
    """Is let go, because a handshake takes milliseconds."""
    with socket.create_connection(("127.0.0.1", lone_accelerator.port)) as connection:
        connection.settimeout(patience(40))
        while connection.recv(1 << 16):
            pass
