"""Lanes over TLS: what is shown, what is asked for, and strangers who say nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accel_daemon.accelerator.lanes import listener
from accel_daemon.pki.authority import create_authority, issue_leaf
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.message_stream import write_message
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.socket_lane import NoLaneError
from tests.accel_daemon.accelerator.lanes.test_lane import ask
from tests.accel_daemon.accelerator.served_accelerator import (
    ACCELERATOR_ID,
    ServedAccelerator,
    served,
)
from tests.conftest import eventually, patience


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """An accelerator."""
    with served(tmp_path, DEFAULT_LIMITS) as running:
        yield running


def _tls(accelerator: ServedAccelerator, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=accelerator.authority_pem.decode())
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def _connected(accelerator: ServedAccelerator) -> socket.socket:
    return socket.create_connection(("127.0.0.1", accelerator.server.lane_port), patience(10))


@pytest.mark.parametrize("protocols", [(), ("h2",)])
def test_another_protocol_is_no_lane(
    accelerator: ServedAccelerator, protocols: tuple[str, ...]
) -> None:
    """Who does not say that it means a lane is disconnected."""
    with (
        _connected(accelerator) as plain,
        _tls(accelerator, *protocols).wrap_socket(plain, server_hostname=ACCELERATOR_ID) as tls,
    ):
        assert tls.recv(1) == b""


def test_older_tls_is_refused(accelerator: ServedAccelerator) -> None:
    """TLS 1.3 or nothing."""
    context = _tls(accelerator, "accel-run/1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with _connected(accelerator) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname=ACCELERATOR_ID)


def test_replaced_certificate_is_shown(
    accelerator: ServedAccelerator,
) -> None:
    """New lanes see the new one, which here nobody trusts; lanes that are open go on."""
    graph_id, lane = accelerator.store_graph(), accelerator.lane()
    now = datetime.now(UTC)
    leaf = issue_leaf(create_authority(now, "other"), name=ACCELERATOR_ID, now=now, days=1)
    pair = (leaf.certificate_pem.decode(), leaf.private_key_pem.decode())

    accelerator.look(lambda: accelerator.server.show(*pair))

    with pytest.raises(NoLaneError, match="CERTIFICATE_VERIFY_FAILED"):
        accelerator.lane()
    assert ask(lane, graph_id)
    lane.close()


def test_who_proves_nothing_makes_room(
    accelerator: ServedAccelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections without a ticket are bounded: the oldest goes, and a lane still opens."""
    monkeypatch.setattr(listener, "MOST_STRANGERS", 4)
    with ExitStack() as closing:
        silent = [closing.enter_context(_connected(accelerator)) for _ in range(8)]
        lane = closing.enter_context(contextlib.closing(accelerator.lane()))
        assert ask(lane, accelerator.store_graph())
        for oldest in silent[:4]:
            assert len(oldest.recv(100)) < 100  # an alert at most
            assert oldest.recv(1) == b""


def test_who_makes_room_is_told(
    accelerator: ServedAccelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an alert, so that a client that sent a call with its opening knows that it never began."""
    monkeypatch.setattr(listener, "MOST_STRANGERS", 2)
    context = _tls(accelerator, "accel-run/1")
    with ExitStack() as closing:
        plain = closing.enter_context(_connected(accelerator))
        tls = closing.enter_context(context.wrap_socket(plain, server_hostname=ACCELERATOR_ID))
        lanes = accelerator.server._lanes
        assert lanes is not None
        eventually(lambda: any(one.waiting for one in lanes._listeners))  # the handshake is over
        for _ in range(2):
            closing.enter_context(_connected(accelerator))
        with pytest.raises(ssl.SSLError, match="ALERT"):
            tls.recv(1)


@pytest.mark.parametrize("message", [b"\xff", b"\x08\x07", b""])
def test_first_message_of_anyone(accelerator: ServedAccelerator, message: bytes) -> None:
    """What is no LaneOpen of ours is refused, typed."""
    context = _tls(accelerator, "accel-run/1")
    with (
        _connected(accelerator) as plain,
        context.wrap_socket(plain, server_hostname=ACCELERATOR_ID) as tls,
    ):
        write_message(tls.sendall, [message])
        size = int.from_bytes(tls.recv(4), "little")
        opened = pb.LaneOpened.FromString(tls.recv(size))

    assert opened.error.reason in ("INVALID_STREAM", "VERSION_UNSUPPORTED")
