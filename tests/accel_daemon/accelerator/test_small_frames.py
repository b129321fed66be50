"""A call may not be cut into many small messages, nor be left half sent without that being seen."""

from __future__ import annotations

import numpy as np
import pytest

from accel_daemon.accelerator.run_stream import CallReceiver
from accel_protocol import frames
from accel_protocol.errors import LimitError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS, SMALL_BYTES, Limits
from tests.accel_daemon.accelerator.test_run_stream import messages_of, received

TEN = {"x": np.arange(10, dtype=np.uint8)}
FEW = Limits(run_small_frames=3)


@pytest.mark.parametrize("frame_count", [3, 4])
def test_some_small_frames(frame_count: int) -> None:
    """Up to the limit, the last one of a call left out, they are taken."""
    messages = messages_of(1, {"x": np.zeros(frame_count, np.uint8)}, 1)
    assert received(messages, FEW)[-1] is not None


def test_one_small_frame_too_many() -> None:
    """Is refused by the limit's name."""
    with pytest.raises(LimitError) as caught:
        received(messages_of(1, {"x": np.zeros(5, np.uint8)}, 1), FEW)
    assert caught.value.fields == {"name": "run_small_frames", "limit": "3", "actual": "4"}


def test_frames_are_counted_call_by_call() -> None:
    """A stream may last; the next call begins at zero."""
    messages = [m for call_id in range(5) for m in messages_of(call_id, TEN, 3)]
    assert sum(call is not None for call in received(messages, FEW)) == 5


def test_pieces_are_not_small() -> None:
    """A large call of pieces never counts."""
    large = {"x": np.zeros(10 * SMALL_BYTES, np.uint8)}
    assert received(messages_of(1, large, SMALL_BYTES), Limits(run_small_frames=0))[-1] is not None
    assert DEFAULT_LIMITS.piece_bytes >= SMALL_BYTES


def test_frames_without_bytes_after_the_start() -> None:
    """The second message of a call carries bytes, or the stream is over."""
    start, *_ = messages_of(1, TEN, 3)
    with pytest.raises(StreamError):
        received([start, frames.encode(1, None, [b""])])


@pytest.mark.parametrize(("count", "midway"), [(0, False), (1, True), (3, True), (4, False)])
def test_a_call_is_midway_between_its_first_and_last_message(count: int, midway: bool) -> None:
    """Only then has its sender to hurry."""
    receiver = CallReceiver(DEFAULT_LIMITS)
    for message in messages_of(1, TEN, 3)[:count]:
        receiver.receive(message)
    assert receiver.is_midway is midway
