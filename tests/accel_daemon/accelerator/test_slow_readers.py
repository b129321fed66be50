"""Who calls and does not read the answers, or opens calls and sends nothing, holds nothing long."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
import pytest

from accel_daemon.accelerator import call_context
from accel_protocol import frames, tensors
from accel_protocol.limits import Limits
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import typed
from tests.accel_daemon.accelerator.served_accelerator import ServedAccelerator, served
from tests.conftest import eventually, patience

MIB = 1 << 20
LIMITS = Limits(idle_call_seconds=1, concurrent_runs=2, queued_runs=4, other_calls=4)
UNARY = [name for name, method in METHODS.items() if not method.client_streams]


@pytest.fixture
def seconds() -> int:
    """How short."""
    return 1


@pytest.fixture
def accelerator(tmp_path: Path, seconds: int) -> Iterator[ServedAccelerator]:
    """An accelerator whose patience is short."""
    with served(tmp_path, replace(LIMITS, idle_call_seconds=round(patience(seconds)))) as running:
        yield running


@pytest.fixture
def connect(accelerator: ServedAccelerator) -> Iterator[Callable[[], grpc.Channel]]:
    """Opens channels, each a connection of its own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(accelerator.channel())


def call_of(graph_id: bytes, size: int, number: int = 1) -> bytes:
    """A call whose answer has so many bytes."""
    header, data = tensors.encode("x", np.array([size], np.float64))
    wire = pb.TensorHeader(name="x", dtype=header.dtype, shape=[1], size=header.size)  # type: ignore[arg-type]
    start = pb.RunStart(graph_id=graph_id, feeds=[wire]).SerializeToString()
    (message,) = frames.split(number, start, [data], MIB)
    return message


def answered(channel: grpc.Channel, accelerator: ServedAccelerator, graph_id: bytes) -> bool:
    """Whether a client that reads is served."""
    run = channel.stream_stream(METHODS["Run"].path)
    call = iter([call_of(graph_id, 10)])
    (answer,) = list(run(call, metadata=accelerator.ticket(), timeout=patience(30)))
    return frames.decode(answer).head is not None


def never_read(
    channel: grpc.Channel, accelerator: ServedAccelerator, graph_id: bytes, size: int
) -> Any:
    """A stream of calls with large answers, which nobody reads."""
    calls = (call_of(graph_id, size, number) for number in itertools.count(1))
    return channel.stream_stream(METHODS["Run"].path)(calls, metadata=accelerator.ticket())


def test_a_stream_that_is_not_read(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """Ends with a typed reason, which is there for a reader who comes late."""
    graph_id = accelerator.store_graph()
    stream = never_read(connect(), accelerator, graph_id, 64 * MIB)

    eventually(lambda: accelerator.engine.runs == 1)
    eventually(lambda: len(accelerator.gate.streams) == 0)

    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert typed(caught.value).reason == "DEADLINE_EXCEEDED"
    assert "not read" in typed(caught.value).message


def test_streams_that_are_not_read_hold_no_places(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """More of them than there are places, and others are served; one answer each is in memory."""
    graph_id, answers = accelerator.store_graph(), accelerator.engine.answers

    streams = [never_read(connect(), accelerator, graph_id, 32 * MIB) for _ in range(12)]
    eventually(lambda: accelerator.engine.runs == len(streams))
    assert answered(connect(), accelerator, graph_id)
    assert accelerator.look(lambda: len(answers)) <= len(streams) + LIMITS.concurrent_runs

    eventually(lambda: len(accelerator.gate.streams) == 0)
    eventually(lambda: accelerator.look(lambda: len(answers)) == 0)
    assert answered(connect(), accelerator, graph_id)


def test_who_does_not_even_read_the_end_is_disconnected(
    accelerator: ServedAccelerator,
    connect: Callable[[], grpc.Channel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing is kept of its calls; another connection is not touched."""
    monkeypatch.setattr(call_context, "_LAST_WORD_SECONDS", patience(0.5))
    graph_id, other = accelerator.store_graph(), connect()
    assert answered(other, accelerator, graph_id)
    states: list[grpc.ChannelConnectivity] = []
    other.subscribe(states.append)

    streams = [never_read(connect(), accelerator, graph_id, 8 * MIB) for _ in range(3)]
    eventually(lambda: accelerator.engine.runs == 1 + len(streams))
    eventually(lambda: accelerator.look(open_calls) == 0)

    for stream in streams:
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert answered(other, accelerator, graph_id)
    assert set(states) == {grpc.ChannelConnectivity.READY}


def open_calls() -> int:
    """How many calls gRPC keeps something of."""
    return sum(task.get_name() == "rpc_task" for task in asyncio.all_tasks())


@pytest.mark.parametrize("name", UNARY)
def test_a_request_that_never_comes(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel], name: str
) -> None:
    """Ends its call, whichever method it is of."""
    silent: SimpleQueue[bytes | None] = SimpleQueue()
    open_call = connect().stream_unary(METHODS[name].path)
    with pytest.raises(grpc.RpcError) as caught:
        open_call(iter(silent.get, None), metadata=accelerator.ticket(), timeout=patience(30))
    silent.put(None)
    assert typed(caught.value).reason == "DEADLINE_EXCEEDED"
    assert "next message did not come" in typed(caught.value).message


@pytest.mark.parametrize("seconds", [5])
def test_calls_without_a_request_are_counted(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """As many as are allowed are in progress; the next one is refused until they are over."""
    silent: SimpleQueue[bytes | None] = SimpleQueue()
    channel, listing = connect(), METHODS["List"].path
    calls = [
        channel.stream_unary(listing).future(iter(silent.get, None), metadata=accelerator.ticket())
        for _ in range(LIMITS.other_calls)
    ]
    eventually(lambda: accelerator.service.calls_in_progress == LIMITS.other_calls)

    plain = connect().unary_unary(listing)
    with pytest.raises(grpc.RpcError) as caught:
        plain(b"", metadata=accelerator.ticket(), timeout=patience(30))
    assert typed(caught.value).reason == "BUSY"

    eventually(lambda: accelerator.service.calls_in_progress == 0)
    assert plain(b"", metadata=accelerator.ticket(), timeout=patience(30))
    for call in calls:
        silent.put(None)
        assert call.exception() is not None


@pytest.mark.parametrize("name", UNARY)
def test_a_call_that_ends_without_its_request(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel], name: str
) -> None:
    """Is told so at once."""
    with pytest.raises(grpc.RpcError) as caught:
        connect().stream_unary(METHODS[name].path)(
            iter(()), metadata=accelerator.ticket(), timeout=patience(30)
        )
    assert typed(caught.value).reason == "INVALID_STREAM"


def test_who_has_no_ticket_is_refused_before_the_request(
    accelerator: ServedAccelerator, connect: Callable[[], grpc.Channel]
) -> None:
    """And takes none of the calls that may be in progress."""
    silent: SimpleQueue[bytes | None] = SimpleQueue()
    with pytest.raises(grpc.RpcError) as caught:
        connect().stream_unary(METHODS["List"].path)(iter(silent.get, None), timeout=patience(30))
    silent.put(None)
    assert typed(caught.value).reason == "MISSING_TICKET"
    assert accelerator.service.counters.other_calls == 0
