"""What the supervisor says while an accelerator drains still counts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from accel_daemon.accelerator.serving import follow_until_drained
from accel_daemon.launch_order import Notice
from accel_protocol import frames
from accel_protocol.limits import Limits
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import typed
from tests.accel_daemon.accelerator.served_accelerator import KEY_ID, ServedAccelerator, served
from tests.conftest import eventually, patience


@pytest.fixture
def accelerator(tmp_path: Path) -> Iterator[ServedAccelerator]:
    """A listening accelerator."""
    with served(tmp_path, Limits()) as running:
        yield running


class Supervisor:
    """Writes notices to an accelerator that follows them, with a long time to drain."""

    def __init__(self, accelerator: ServedAccelerator) -> None:
        self._accelerator = accelerator
        self._reader = accelerator.look(asyncio.StreamReader)
        self.is_over = threading.Event()
        self._life = asyncio.run_coroutine_threadsafe(self._follow(), accelerator.loop)

    async def _follow(self) -> None:
        one, stop = self._accelerator, asyncio.Event()
        await follow_until_drained(self._reader, one.service, one.server, stop, patience(60))
        self.is_over.set()

    def tell(self, notice: Notice) -> None:
        """Write a notice."""
        self._accelerator.look(lambda: self._reader.feed_data(notice.to_line()))


@pytest.fixture
def busy_call(accelerator: ServedAccelerator) -> Iterator[Any]:
    """A Run stream inside a call that does not end by itself."""
    hold = threading.Event()
    graph_id = accelerator.store_graph()
    accelerator.engine.before_run = lambda: hold.wait(patience(60))
    calls: SimpleQueue[bytes | None] = SimpleQueue()
    calls.put(frames.encode(1, pb.RunStart(graph_id=graph_id).SerializeToString()))
    with accelerator.channel() as channel:
        run = channel.stream_stream(METHODS["Run"].path)
        yield run(iter(calls.get, None), metadata=accelerator.ticket())
        hold.set()
        calls.put(None)


def reason(stream: Any) -> str:
    """Why a stream ends."""
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    return typed(caught.value).reason


def test_a_ticket_that_is_revoked_while_draining(
    accelerator: ServedAccelerator, busy_call: Any
) -> None:
    """Ends the call that was let go on."""
    supervisor = Supervisor(accelerator)
    eventually(lambda: accelerator.engine.runs == 1)
    supervisor.tell(Notice("drain"))
    eventually(lambda: accelerator.look(lambda: not accelerator.server.is_serving))
    supervisor.tell(Notice("revoke", (KEY_ID,), ()))
    assert reason(busy_call) == "TICKET_REVOKED"
    assert supervisor.is_over.wait(patience(30))
