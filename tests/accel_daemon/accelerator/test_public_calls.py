"""Calls that nobody has to prove anything for are few, and do not last."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from accel_daemon.accelerator import foreign_handlers, public_calls
from accel_daemon.accelerator.public_calls import PublicCalls
from accel_protocol.errors import BusyError
from accel_protocol.limits import Limits
from client_runtime.transport.channel import typed
from tests.accel_daemon.accelerator.served_accelerator import ServedAccelerator, served
from tests.conftest import eventually, patience

ANY = health_pb2.HealthCheckRequest()
METHODS = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
LIMITS = Limits(other_calls=2, idle_call_seconds=round(patience(4)))


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """A listening accelerator."""
    with served(tmp_path, LIMITS) as running:
        yield running


@pytest.fixture
def connect(accelerator: ServedAccelerator) -> Iterator[Callable[[], grpc.Channel]]:
    """Opens channels, each a connection of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(accelerator.channel())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers and watches get a second."""
    monkeypatch.setattr(foreign_handlers, "STRANGER_SECONDS", patience(1))
    monkeypatch.setattr(foreign_handlers, "WATCH_SECONDS", patience(1))


def watched(channel: grpc.Channel) -> Iterator[health_pb2.HealthCheckResponse]:
    """A watch that has begun."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(ANY)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    return watch


def reason(watch: Iterator[health_pb2.HealthCheckResponse]) -> str:
    """Why a watch ends."""
    with pytest.raises(grpc.RpcError) as caught:
        list(watch)
    return typed(caught.value).reason


@pytest.mark.parametrize(
    ("peers", "most"),
    [
        (itertools.repeat("ipv4:192.0.2.1:5000"), public_calls.MOST_OF_CONNECTION),
        ((f"ipv4:192.0.2.1:{port}" for port in range(9999)), public_calls.MOST_OF_ADDRESS),
        ((f"ipv6:%5B2001:db8::1%5D:{port}" for port in range(9999)), public_calls.MOST_OF_ADDRESS),
        ((f"ipv4:192.0.{i // 250}.{i % 250}:1" for i in range(9999)), public_calls.MOST),
    ],
)
def test_each_share_is_bounded(peers: Iterator[str], most: int) -> None:
    """One connection's, one address's, and that of all strangers together."""
    calls = PublicCalls()
    with ExitStack() as stack:
        for _ in range(most):
            stack.enter_context(calls.entered(next(peers)))
        with pytest.raises(BusyError):
            stack.enter_context(calls.entered(next(peers)))
        assert len(calls) == most
    assert len(calls) == 0


def test_who_was_refused_or_is_over_does_not_count() -> None:
    """A place is free again as soon as a call is over."""
    calls = PublicCalls()
    for _ in range(public_calls.MOST + 1):
        with calls.entered("ipv4:192.0.2.1:5000"):
            assert len(calls) == 1


def test_watches_of_one_connection(connect: Callable[[], grpc.Channel]) -> None:
    """One more than allowed is told so; those before go on, and others may watch."""
    channel = connect()
    watches = [watched(channel) for _ in range(public_calls.MOST_OF_CONNECTION)]
    assert reason(health_pb2_grpc.HealthStub(channel).Watch(ANY)) == "BUSY"
    watched(connect())
    assert all(watch.is_active() for watch in watches)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("impatient")
def test_a_watch_ends(connect: Callable[[], grpc.Channel]) -> None:
    """Then whoever watches calls again."""
    channel = connect()
    assert reason(watched(channel)) == "UNAVAILABLE"
    watched(channel)


def test_a_watch_ends_with_the_process(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """It says that the process drains, and does not keep it from ending."""
    watch = watched(connect())
    draining = asyncio.run_coroutine_threadsafe(accelerator.server.drain(600), accelerator.loop)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert reason(watch) == "UNAVAILABLE"
    draining.result(patience(30))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", METHODS)
def test_a_stranger_who_sends_nothing(connect: Callable[[], grpc.Channel], path: str) -> None:
    """Is not waited for, and holds nothing afterwards."""
    silent: SimpleQueue[bytes | None] = SimpleQueue()
    channel = connect()
    opened = channel.stream_unary(path)
    calls = [opened.future(iter(silent.get, None)) for _ in range(public_calls.MOST_OF_CONNECTION)]
    for call in calls:
        assert isinstance(call.exception(patience(30)), grpc.RpcError)
        silent.put(None)
    check = health_pb2_grpc.HealthStub(channel).Check
    assert check(ANY).status == health_pb2.HealthCheckResponse.SERVING


def test_a_service_that_is_not_there(connect: Callable[[], grpc.Channel]) -> None:
    """Is answered as gRPC's health protocol has it."""
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(connect()).Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("path", METHODS)
def test_what_is_no_request(
    connect: Callable[[], grpc.Channel], caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """Is refused, and leaves no traceback in the log."""
    with pytest.raises(grpc.RpcError) as caught:
        connect().unary_unary(path)(b"\x0a\x05a")
    assert typed(caught.value).reason == "INVALID_STREAM"
    assert "Traceback" not in caplog.text


def test_reflection_is_counted(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """With the other calls, and its next request has to come in time."""
    silent: SimpleQueue[reflection_pb2.ServerReflectionRequest | None] = SimpleQueue()
    stub = reflection_pb2_grpc.ServerReflectionStub(connect())
    streams = [
        stub.ServerReflectionInfo(iter(silent.get, None), metadata=accelerator.ticket())
        for _ in range(LIMITS.other_calls)
    ]
    eventually(lambda: accelerator.service.calls_in_progress == LIMITS.other_calls)
    assert reason(stub.ServerReflectionInfo(iter(()), metadata=accelerator.ticket())) == "BUSY"
    assert [reason(stream) for stream in streams] == ["DEADLINE_EXCEEDED"] * LIMITS.other_calls
    for _ in streams:
        silent.put(None)
