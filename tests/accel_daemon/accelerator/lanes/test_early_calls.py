"""A first call comes with the lane's opening: it runs once the lane is open, and else never."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from accel_daemon.pki.authority import create_authority, issue_leaf
from accel_protocol.errors import AcceleratorError, CredentialsError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.message_stream import MessageReader
from client_runtime.transport.exchange import Answer, Call, Sending, exchange
from client_runtime.transport.grants import Grant
from client_runtime.transport.socket_lane import EARLY_BYTES, NoLaneError, SocketLane
from tests.accel_daemon.accelerator.served_accelerator import ServedAccelerator, served
from tests.conftest import eventually, patience

SIZES = [1, EARLY_BYTES // 8, 400_000]  # of float64
ANY = Grant("", "host", 0, "", "", "ticket")


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """An accelerator with room for one stream."""
    with served(tmp_path, replace(DEFAULT_LIMITS, streams=1)) as running:
        yield running


def call_of(graph_id: bytes, size: int) -> Call:
    """A call with so many numbers, whose answer has ten bytes."""
    x = np.zeros(size, np.float64)
    x[0] = 10
    return Call(graph_id, {"x": x})


def failure(lane: SocketLane, call: Call, sending: Sending) -> AcceleratorError:
    """How the first call on a lane fails."""
    with pytest.raises(AcceleratorError) as caught:
        exchange(lane, 1, call, sending)
    return caught.value


@pytest.mark.parametrize("size", SIZES)
def test_a_call_that_comes_with_the_opening_is_answered(
    accelerator: ServedAccelerator, size: int
) -> None:
    """Whether all of it does, or the rest waits."""
    call = call_of(accelerator.store_graph(), size)
    with contextlib.closing(accelerator.asked_lane()) as lane:
        for number in (1, 2):
            answer = exchange(lane, number, call)
            assert isinstance(answer, Answer)
            assert answer.fetches["y"].size == 10


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ticket", ["x", None])
def test_a_call_on_a_lane_that_is_refused_has_not_run(
    accelerator: ServedAccelerator, ticket: str | None, size: int
) -> None:
    """For its ticket or for want of a place: which is known, so that it can be made again."""
    graph_id, sending = accelerator.store_graph(), Sending()
    with contextlib.closing(accelerator.lane()):
        lane = accelerator.asked_lane(ticket)
        error = failure(lane, call_of(graph_id, size), sending)
        lane.close()

    assert error.reason == ("BUSY" if ticket is None else "INVALID_TICKET")
    assert error.request_id
    assert not sending.whole
    eventually(lambda: len(accelerator.gate.streams) == 0)
    assert accelerator.engine.runs == 0
    assert accelerator.look(lambda: accelerator.service.counters.run_messages_in) == 0


def test_nothing_is_sent_ahead_that_might_not_be_read(accelerator: ServedAccelerator) -> None:
    """Else both sides could wait for each other: what is large waits for the answer."""
    with contextlib.closing(accelerator.asked_lane("x")) as lane:
        with pytest.raises(CredentialsError):
            lane.send(iter([[bytes(1000)], [bytes(EARLY_BYTES)]]))
        assert lane.has_begun_nothing


@pytest.mark.parametrize("size", [1, 400_000])
def test_an_opening_without_an_answer(size: int) -> None:
    """Of what was sent as a whole nobody knows whether it ran; of the rest it is known."""
    ours, theirs = socket.socketpair()
    sending = Sending()

    def vanish() -> None:
        reader = MessageReader(theirs.recv_into, DEFAULT_LIMITS)
        assert reader.next_whole()
        assert reader.next() if size == 1 else True
        theirs.close()

    other = threading.Thread(target=vanish)
    other.start()
    lane = SocketLane(ours, ANY)
    error = failure(lane, call_of(bytes(32), size), sending)
    other.join(patience(10))
    lane.close()

    assert isinstance(error, NoLaneError)
    assert sending.whole == (size == 1)
    assert not lane.has_begun_nothing


def test_an_alert_in_place_of_the_answer(tmp_path: Path) -> None:
    """Nobody but the accelerator can send one, and it had begun nothing."""
    authority = create_authority(datetime.now(UTC), "test authority")
    leaf = issue_leaf(authority, name="far", now=datetime.now(UTC), days=1)
    pair = tmp_path / "pair.pem"
    pair.write_bytes(leaf.private_key_pem + leaf.certificate_pem)
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    strict.load_cert_chain(pair)
    strict.verify_mode = ssl.CERT_REQUIRED  # which a client learns after its handshake
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(cadata=authority.certificate_pem.decode())
    ours, theirs = socket.socketpair()

    def refuse() -> None:
        options = {"server_side": True, "do_handshake_on_connect": False}
        with strict.wrap_socket(theirs, **options) as tls:
            with pytest.raises(ssl.SSLError):
                tls.do_handshake()
            while socket.socket.recv(tls, 1000):
                pass

    other = threading.Thread(target=refuse)
    other.start()
    sending = Sending()
    lane = SocketLane(trusting.wrap_socket(ours, server_hostname="far"), ANY)
    error = failure(lane, call_of(bytes(32), 1), sending)
    lane.close()
    other.join(patience(10))

    assert isinstance(error, NoLaneError)
    assert not sending.whole
