"""Messages of a stream become whole calls or a refusal, and answers become messages again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from accel_daemon.accelerator import run_stream
from accel_daemon.accelerator.run_stream import Call, CallReceiver, Timing
from accel_protocol import dtypes, frames, tensors
from accel_protocol.errors import BusyError, FeedError, GraphError, LimitError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.payload import Assembly, headers_from_wire
from accel_protocol.tensors import Array
from accel_protocol.v1 import accelerator_pb2 as pb

GRAPH_ID = bytes(range(32))
FEEDS: dict[str, Array] = {
    "image": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "scale": np.array(0.5, np.float32),
    "nothing": np.zeros((0, 2), np.int64),
    "words": np.array([b"one", b""], object),
}
CALL = Call(7, GRAPH_ID, {}, None)


def start_of(feeds: dict[str, Array], timeout_us: int = 0, graph_id: bytes = GRAPH_ID) -> bytes:
    """The head of a call."""
    headers = [tensors.encode(name, value)[0] for name, value in feeds.items()]
    return pb.RunStart(
        graph_id=graph_id,
        timeout_us=timeout_us,
        feeds=[
            pb.TensorHeader(name=h.name, dtype=h.dtype, shape=h.shape, size=h.size)  # type: ignore[arg-type]
            for h in headers
        ],
    ).SerializeToString()


def messages_of(call_id: int, feeds: dict[str, Array], piece_bytes: int = 8) -> list[bytes]:
    """A call as a well-behaved client sends it."""
    payload = [tensors.encode(name, value)[1] for name, value in feeds.items()]
    return list(frames.split(call_id, start_of(feeds), payload, piece_bytes))


def received(messages: Iterable[bytes], limits: Limits = DEFAULT_LIMITS) -> list[Call | None]:
    """What a fresh receiver makes of each message."""
    receiver = CallReceiver(limits)
    return [receiver.receive(message) for message in messages]


def assert_equal(values: dict[str, Array], expected: dict[str, Array]) -> None:
    """Equal names, dtypes, shapes and elements."""
    assert list(values) == list(expected)
    for name, value in expected.items():
        assert (values[name].dtype, values[name].shape) == (value.dtype, value.shape)
        assert values[name].tolist() == value.tolist()


@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 12, 13, 1000])
def test_a_call_is_whole_with_its_last_message(piece_bytes: int) -> None:
    """Every message before says None, the last one gives the call."""
    *before, call = received(messages_of(7, FEEDS, piece_bytes))
    assert set(before) <= {None}
    assert call is not None
    assert (call.call_id, call.graph_id) == (7, GRAPH_ID)
    assert_equal(dict(call.feeds), FEEDS)


@pytest.mark.parametrize(
    ("timeout_us", "timeout"), [(0, None), (1, 1e-6), (2_500_000, 2.5), (10**12, 1e6)]
)
def test_the_time_out_is_in_seconds(timeout_us: int, timeout: float | None) -> None:
    """Zero means that the client gives no bound."""
    (call,) = received([frames.encode(1, start_of({}, timeout_us))])
    assert call is not None
    assert call.timeout == timeout


def test_calls_of_one_stream_follow_each_other() -> None:
    """After a whole call the next one may begin, with the same id even."""
    messages = [*messages_of(1, FEEDS), *messages_of(2, {}), *messages_of(2, FEEDS)]
    calls = [call for call in received(messages) if call is not None]
    assert [(call.call_id, len(call.feeds)) for call in calls] == [(1, 4), (2, 0), (2, 4)]


def test_the_feeds_of_a_small_call_are_views_of_its_message() -> None:
    """A call of one message is not copied."""
    (message,) = messages_of(1, {"x": np.arange(4, dtype=np.int32)}, 100)
    (call,) = received([message])
    assert call is not None
    assert np.shares_memory(call.feeds["x"], np.frombuffer(message, np.uint8))
    assert not call.feeds["x"].flags.writeable


X = {"x": np.arange(4, dtype=np.uint8)}
FIRST = frames.encode(1, start_of(X), [b"\x00"])


@pytest.mark.parametrize(
    "messages",
    [
        [b"\x08"],  # no protobuf
        [b""],  # no start
        [frames.encode(1)],  # no start
        [frames.encode(1, None, [b"abcd"])],  # no start
        [frames.encode(1, b"\x08")],  # the start is no protobuf
        [frames.encode(1, start_of({}, graph_id=b""))],  # no graph id
        [frames.encode(1, start_of({}, graph_id=bytes(31)))],  # a short graph id
        [frames.encode(1, start_of({}, graph_id=bytes(33)))],  # a long graph id
        [frames.encode(1, start_of(X), [b""])],  # an empty piece
        [frames.encode(1, start_of(X), [b"abcde"])],  # more than announced
        [FIRST, frames.encode(1, None, [b""])],  # an empty piece
        [FIRST, frames.encode(1, None, [b"abcd"])],  # more than announced
        [FIRST, frames.encode(2, None, [b"abc"])],  # another call's piece
        [FIRST, frames.encode(1, start_of(X), [b"abc"])],  # another start
        [FIRST, frames.encode(1)],  # neither start nor piece
        [FIRST, b""],  # nothing
    ],
    ids=range(16),
)
def test_messages_that_break_the_protocol_are_refused(messages: list[bytes]) -> None:
    """The last message of each of these is a StreamError."""
    receiver = CallReceiver(DEFAULT_LIMITS)
    for message in messages[:-1]:
        assert receiver.receive(message) is None
    with pytest.raises(StreamError):
        receiver.receive(messages[-1])


def head_with(*headers: pb.TensorHeader) -> bytes:
    """A call's one message with any headers and no payload."""
    return frames.encode(1, pb.RunStart(graph_id=GRAPH_ID, feeds=headers).SerializeToString())


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (head_with(pb.TensorHeader(name="x", dtype=20, size=4)), FeedError),  # type: ignore[arg-type]
        (head_with(pb.TensorHeader(name="x", size=4)), FeedError),
        (head_with(pb.TensorHeader(name="x", dtype=-1, size=4)), FeedError),  # type: ignore[arg-type]
        (head_with(pb.TensorHeader(name="x", dtype=1, size=5)), StreamError),  # type: ignore[arg-type]
        (head_with(pb.TensorHeader(name="x", dtype=1, shape=[1] * 33, size=4)), LimitError),  # type: ignore[arg-type]
        (head_with(pb.TensorHeader(name="x", dtype=4, shape=[2**33], size=2**33)), LimitError),  # type: ignore[arg-type]
        (head_with(*[pb.TensorHeader(name="x", dtype=4, shape=[0])] * 2), StreamError),  # type: ignore[arg-type]
        (head_with(*[pb.TensorHeader(name="x", dtype=4, shape=[0])] * 1025), LimitError),  # type: ignore[arg-type]
    ],
    ids=range(8),
)
def test_feeds_that_cannot_be_are_refused(message: bytes, error: type[Exception]) -> None:
    """Headers are checked before anything is allocated for them."""
    with pytest.raises(error):
        received([message])


@pytest.mark.parametrize(("more", "allowed"), [(-1, True), (0, True), (1, False)])
def test_the_size_of_a_message_is_limited(more: int, allowed: bool) -> None:
    """At and below `message_bytes` a message is read, one above it is refused."""
    (message,) = messages_of(1, X)
    limits = Limits(message_bytes=len(message) - more)
    if allowed:
        assert received([message], limits) != [None]
    else:
        with pytest.raises(LimitError):
            received([message], limits)


@pytest.mark.parametrize("feeds", [{}, {"x": np.zeros((0,), np.float32)}])
def test_bytes_of_a_call_that_announced_none_are_refused(feeds: dict[str, Array]) -> None:
    """More bytes than announced are a StreamError, also when none were announced."""
    with pytest.raises(StreamError):
        received([frames.encode(1, start_of(feeds), [b"surplus"])])


def test_a_shape_that_numpy_cannot_hold_is_refused() -> None:
    """A stranger's shape ends in a typed refusal and not in NumPy's own error."""
    header = pb.TensorHeader(name="x", dtype=1, shape=[2**64 - 1, 0])  # type: ignore[arg-type]
    with pytest.raises((StreamError, LimitError)):
        received([head_with(header)])


PIECES = st.binary(max_size=6)
HEADERS = st.builds(
    lambda name, dtype, shape, size: pb.TensorHeader(
        name=name, dtype=dtype, shape=shape, size=size
    ),
    st.sampled_from(["x", "y"]),
    st.sampled_from([0, 1, 4, 7, 10, 14, 20]),
    st.lists(st.integers(1, 2), max_size=2),
    st.integers(0, 8),
)
HEADS = st.one_of(
    st.none(),
    st.binary(max_size=6),
    st.builds(
        lambda graph_id, feeds: pb.RunStart(graph_id=graph_id, feeds=feeds).SerializeToString(),
        st.sampled_from([GRAPH_ID, b"short"]),
        st.lists(HEADERS, max_size=2),
    ),
)
MESSAGES = st.one_of(
    st.binary(max_size=12),
    st.builds(
        lambda call_id, head, pieces: frames.encode(call_id, head, pieces),
        st.integers(0, 2),
        HEADS,
        st.lists(PIECES, max_size=2),
    ),
    st.sampled_from([FIRST, frames.encode(1, None, [b"abc"]), *messages_of(1, FEEDS)]),
)


@given(st.lists(MESSAGES, max_size=8))
@settings(deadline=None, max_examples=300)
def test_any_messages_are_calls_or_refused(messages: list[bytes]) -> None:
    """Whatever comes: a call, not yet a call, or one of three errors that end the stream."""
    receiver = CallReceiver(DEFAULT_LIMITS)
    for message in messages:
        try:
            call = receiver.receive(message)
        except (StreamError, LimitError, FeedError):
            return
        if call is not None:
            assert len(call.graph_id) == 32
            assert all(isinstance(value, np.ndarray) for value in call.feeds.values())


CALLS = st.lists(
    st.dictionaries(
        st.text(max_size=3),
        hnp.arrays(np.int16, hnp.array_shapes(min_dims=0, min_side=0, max_dims=2, max_side=3)),
        max_size=3,
    ),
    max_size=4,
)


@given(CALLS, st.integers(1, 9))
@settings(deadline=None)
def test_any_calls_are_received_in_order(calls: list[dict[str, Array]], piece_bytes: int) -> None:
    """However they are cut, the calls of a stream come out as they were sent."""
    messages = [m for i, feeds in enumerate(calls) for m in messages_of(i, feeds, piece_bytes)]
    whole = [call for call in received(messages) if call is not None]
    assert [call.call_id for call in whole] == list(range(len(calls)))
    for call, feeds in zip(whole, calls, strict=True):
        assert_equal(dict(call.feeds), feeds)


def read_answer(messages: Sequence[bytes]) -> tuple[pb.RunResult, dict[str, Array]]:
    """An answer as the client reads it: through the generated class."""
    parsed = [pb.RunResponse.FromString(message) for message in messages]
    result = parsed[0].result
    assembly = Assembly(headers_from_wire(result.fetches), DEFAULT_LIMITS)
    for message in parsed:
        if message.payload:
            assembly.add(memoryview(message.payload))
    assert assembly.complete
    return result, assembly.arrays(writable=True)


@pytest.mark.parametrize("piece_bytes", [1, 13, 1000])
def test_an_answer_is_read_as_it_was_computed(piece_bytes: int) -> None:
    """Fetches of any dtype come out equal, in one message or in several."""
    fetches = {
        **FEEDS,
        **{dtypes.name_of(n): np.ones(3, dtypes.numpy_of(n)) for n in dtypes.supported() if n != 7},
    }
    limits = Limits(piece_bytes=piece_bytes)
    _, values = read_answer(list(run_stream.answer(CALL, fetches, Timing(), True, limits)))
    assert_equal(values, fetches)


@pytest.mark.parametrize("repeatable", [True, False])
def test_an_answer_says_when_and_how(repeatable: bool) -> None:
    """Timing is in microseconds; every message carries the call's id."""
    timing = Timing(queue=0.001, compute=2.5, load=0.25)
    messages = list(run_stream.answer(CALL, FEEDS, timing, repeatable, Limits(piece_bytes=5)))
    result, _ = read_answer(messages)
    assert result.timing == pb.Timing(queue_us=1000, compute_us=2_500_000, load_us=250_000)
    assert result.repeatable is repeatable
    assert {frames.decode(message).call_id for message in messages} == {7}


@pytest.mark.parametrize(("size", "allowed"), [(9, True), (10, True), (11, False)])
def test_the_size_of_an_answer_is_limited(size: int, allowed: bool) -> None:
    """Fetches above `call_bytes` are a LimitError before the first message."""
    fetches: dict[str, Array] = {"x": np.zeros(size, np.uint8)}
    limits = Limits(call_bytes=10)
    if allowed:
        assert list(run_stream.answer(CALL, fetches, Timing(), True, limits))
    else:
        with pytest.raises(LimitError):
            run_stream.answer(CALL, fetches, Timing(), True, limits)


def test_a_refusal_carries_the_whole_error() -> None:
    """Reason, words, facts and status, with the id of the call."""
    error = BusyError(
        "Too many.", remedy="Wait.", request_id="r-7", fields={"retry_after_ms": "100"}
    )
    message = pb.RunResponse.FromString(run_stream.refusal(300, error))
    assert message == pb.RunResponse(
        call_id=300,
        error=pb.Error(
            reason="BUSY",
            message="Too many.",
            remedy="Wait.",
            request_id="r-7",
            fields={"retry_after_ms": "100"},
            status=8,
        ),
    )


def test_a_refusal_has_no_result() -> None:
    """A client can tell a failed call from one without fetches."""
    frame = frames.decode(run_stream.refusal(1, GraphError("It failed.")))
    assert (frame.head, frame.payload) == (None, None)
    assert frame.error is not None
