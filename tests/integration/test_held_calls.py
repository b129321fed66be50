"""Calls that hold an accelerator: who falls silent is cut off, who is too many is sent away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from accel_protocol import frames
from accel_protocol.errors import AcceleratorError, BusyError
from accel_protocol.lanes import KINDS
from accel_protocol.methods import METHODS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import call, metadata, typed
from client_runtime.transport.grants import Grant
from client_runtime.transport.lane_choice import LaneChoice
from tests.conftest import eventually, patience
from tests.integration.conftest import LoneAccelerator, alone
from tests.integration.open_stream import outcome, streams

BEGUN = pb.UploadRequest(blob=pb.Blob(sha256=bytes(32), size=10), data=b"half ")
UINT8 = pb.DATA_TYPE_UINT8


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneAccelerator]:
    """An accelerator that waits one second for a message, and does one call at a time."""
    limits = {"idle_call_seconds": 1, "other_calls": 1}
    with alone(tmp_path_factory.mktemp("impatient"), has_engine=False, limits=limits) as lone:
        yield lone


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneAccelerator]:
    """An accelerator that does two calls at a time, and waits long for each."""
    limits = {"other_calls": 2}
    with alone(tmp_path_factory.mktemp("roomy"), has_engine=False, limits=limits) as lone:
        yield lone


@contextmanager
def begun(channel: grpc.Channel, grant: Grant, name: str, *messages: bytes) -> Iterator[Any]:
    """The answers of a call that sends these messages, and then nothing and no end."""
    queue: SimpleQueue[bytes | None] = SimpleQueue()
    for message in messages:
        queue.put(message)
    opened = channel.stream_stream(METHODS[name].path)
    answers = opened(iter(queue.get, None), metadata=metadata(grant), timeout=patience(20))
    try:
        yield answers
    finally:
        answers.cancel()
        queue.put(None)


def half_a_run() -> bytes:
    """The first message of a call that announces more than it brings."""
    feed = pb.TensorHeader(name="x", dtype=UINT8, shape=(10,), size=10)
    head = pb.RunStart(graph_id=bytes(32), feeds=[feed]).SerializeToString()
    return frames.encode(1, head, [b"half "])


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("Upload", []),
        ("Upload", [BEGUN.SerializeToString()]),
    ],
    ids=["an upload without a chunk", "an upload"],
)
def test_a_call_that_falls_silent_is_ended(
    impatient: LoneAccelerator, name: str, messages: list[bytes]
) -> None:
    """With its typed reason, and what it held is free again."""
    grant = impatient.grant()
    with impatient.channel() as channel:
        with begun(channel, grant, name, *messages) as answers:
            with pytest.raises(grpc.RpcError) as caught:
                next(answers)
            error = typed(caught.value)
        assert error.reason == "DEADLINE_EXCEEDED"
        assert "within 1 s" in error.message  # so that it is no deadline of the client's
        listed = call(channel, grant, "List", pb.ListRequest())
    assert listed.process.streams == 0


def test_a_run_that_falls_silent_is_ended(impatient: LoneAccelerator, kind: str) -> None:
    """As any other call."""
    grant = impatient.grant()
    with impatient.channel() as channel:
        lane = LaneChoice(impatient.endpoint, (kind,)).open(channel, grant)
        error = outcome(lane, [half_a_run()])
        lane.close()
        assert error.reason == "DEADLINE_EXCEEDED"
        assert "within 1 s" in error.message
        eventually(lambda: call(channel, grant, "List", pb.ListRequest()).process.streams == 0)


def test_a_stream_between_two_calls_holds_nothing(impatient: LoneAccelerator) -> None:
    """It may be silent for longer than a call may."""
    grant = impatient.grant()
    with impatient.channel() as channel, streams(impatient.endpoint, channel, grant) as opened:
        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(KINDS)
        with begun(channel, grant, "Upload") as answers, pytest.raises(grpc.RpcError):
            next(answers)  # which is longer than what a call may be silent
        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(KINDS)


def file(number: int) -> pb.Blob:
    """A file that nobody has whole."""
    return pb.Blob(sha256=bytes([number]) * 32, size=10)


def refusal(channel: grpc.Channel, grant: Grant) -> AcceleratorError | None:
    """How one more call is refused; None where it is answered."""
    try:
        call(channel, grant, "List", pb.ListRequest())
    except AcceleratorError as error:
        return error
    return None


@pytest.mark.parametrize("held", [0, 1])
def test_a_call_below_and_at_the_limit_has_a_place(roomy: LoneAccelerator, held: int) -> None:
    """Beside those that are in progress."""
    grant = roomy.grant()
    files = [file(number) for number in range(held)]
    with roomy.channel() as channel, ExitStack() as stack:
        for one in files:
            message = pb.UploadRequest(blob=one, data=b"half ").SerializeToString()
            stack.enter_context(begun(channel, grant, "Upload", message))

        def in_progress() -> list[int]:
            found = call(channel, grant, "FindMissing", pb.FindMissingRequest(blobs=files))
            return [one.committed_bytes for one in found.missing]

        eventually(lambda: in_progress() == [5] * held)


def test_a_call_above_the_limit_is_sent_away(roomy: LoneAccelerator) -> None:
    """With a hint when to come back, and there is a place once another one has ended."""
    grant = roomy.grant()
    with roomy.channel() as channel:
        with begun(channel, grant, "Upload"), begun(channel, grant, "Upload"):
            error = eventually(lambda: refusal(channel, grant))
        assert isinstance(error, BusyError)
        assert error.reason == "BUSY"
        assert int(error.fields["retry_after_ms"]) > 0
        eventually(lambda: refusal(channel, grant) is None)
