"""Calls over real connections that break: repeated where that is safe, and never half an answer."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

import grpc
import numpy as np
import pytest

from accel_daemon.accelerator.run_stream import CallReceiver, Timing, answer, error_message
from accel_protocol.errors import (
    AcceleratorError,
    AnswerLostError,
    BusyError,
    CancelledError,
    ConnectionLostError,
    ModelError,
    ModelMissingError,
    StreamError,
)
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.manifest import BundleFile, Manifest, Selection
from accel_protocol.methods import ERROR_METADATA
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models.bundle import Bundle
from client_runtime.models.model import Model
from client_runtime.remote_model import RemoteModel
from client_runtime.transport import channel as channels
from client_runtime.transport import grants
from client_runtime.transport.attachment import Attachment
from client_runtime.transport.exchange import Call, Cancellation
from client_runtime.transport.grants import Grant
from client_runtime.transport.retrying import RetryBudget
from tests.client_runtime.transport.far_side import FarSide, Wire, wired
from tests.conftest import patience

MIB = 2**20
LARGE = np.arange(2 * MIB, dtype=np.float32)
CONTENT = bytes(range(256)) * 8192
DIGEST = hashlib.sha256(CONTENT).digest()
GRAPH = bytes(32)


class Accelerator:
    """Answers every call with what it was fed, and keeps the one file that it is sent."""

    def __init__(self, far: FarSide) -> None:
        self.runs = self.uploads = 0
        self.held = b""
        self.loaded = False
        self.failures: dict[str, list[AcceleratorError]] = {}
        far.behaviours.update(
            Run=self.run, FindMissing=self.find_missing, Upload=self.upload, Load=self.load
        )

    def fail(self, name: str, context: Any) -> None:
        """Refuse, where a test said so, as an accelerator does."""
        errors = self.failures.get(name, [])
        if errors:
            error = errors.pop(0)
            code = next(one for one in grpc.StatusCode if one.value[0] == int(error.status))
            context.set_trailing_metadata(
                ((ERROR_METADATA, error_message(error).SerializeToString()),)
            )
            context.abort(code, error.message)

    def run(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """The Run stream."""
        context.send_initial_metadata((("x", "y"),))
        receiver = CallReceiver(DEFAULT_LIMITS)
        for request in requests:
            call = receiver.receive(request)
            if call is not None:
                self.runs += 1
                yield from answer(call, call.feeds, Timing(), False, DEFAULT_LIMITS)

    def find_missing(self, _: Any, context: Any) -> Any:
        """Tell how much of the file is here."""
        self.fail("FindMissing", context)
        if self.held == CONTENT:
            return pb.FindMissingResponse()
        missing = pb.MissingBlob(sha256=DIGEST, committed_bytes=len(self.held))
        return pb.FindMissingResponse(missing=[missing])

    def upload(self, requests: Iterator[Any], context: Any) -> Any:
        """Keep what arrives, unless all of it is something else than was announced."""
        self.fail("Upload", context)
        self.uploads += 1
        for request in requests:
            assert request.offset == len(self.held)
            self.held += request.data
        if self.held != CONTENT:
            self.held = b""
            self.failures["mismatch"] = [ModelError("other", reason="DIGEST_MISMATCH")]
            self.fail("mismatch", context)
        return pb.UploadResponse()

    def load(self, _: Any, context: Any) -> Iterator[Any]:
        """Load, in two messages."""
        self.fail("Load", context)
        yield pb.LoadResponse(progress=pb.LoadProgress(stage="loading"))
        self.loaded = True
        yield pb.LoadResponse(graph=pb.LoadedGraph(graph_id=GRAPH))


@pytest.fixture
def ends() -> Iterator[tuple[FarSide, Wire]]:
    """A server and the wire to it."""
    with wired() as both:
        yield both


@pytest.fixture
def accelerator(ends: tuple[FarSide, Wire]) -> Accelerator:
    """What the server is."""
    return Accelerator(ends[0])


@pytest.fixture
def wire(ends: tuple[FarSide, Wire]) -> Wire:
    """What the client is connected by."""
    return ends[1]


@pytest.fixture
def attachment(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attachment]:
    """A connection over the wire; without TLS, whose records would hide where it is cut."""
    with attached(wire, monkeypatch) as one:
        yield one


def attached(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, budget: RetryBudget | None = None
) -> Attachment:
    """See the fixture."""
    grant = Grant("eia-" + "a" * 32, "host", 0, f"127.0.0.1:{wire.port}", "x", "t", 1e12)
    monkeypatch.setattr(grants, "request_grant", lambda *_: grant)
    options = [*channels._options(grant), ("grpc.min_reconnect_backoff_ms", 100)]
    monkeypatch.setattr(
        channels, "open_channel", lambda *_: grpc.insecure_channel(grant.address, options)
    )
    keys = cast(Any, type("Keys", (), {"current": lambda _: None})())
    return Attachment(cast(Any, None), keys, budget=budget)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A model of one file."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    manifest = Manifest(
        "f", (BundleFile("a", len(CONTENT), DIGEST.hex()),), Selection(signature="s")
    )
    return Bundle(manifest, manifest.graph_id(), {DIGEST.hex(): path})


def same(attachment: Attachment, value: Any, *, repeatable: bool) -> bool:
    """Whether a call is answered with what it was fed."""
    result = attachment.run(Call(GRAPH, {"x": value}), repeatable=repeatable)
    return np.array_equal(result.fetches["x"], value)


def test_cut_while_a_large_call_is_sent(
    accelerator: Accelerator, wire: Wire, attachment: Attachment
) -> None:
    """It has not run, so that it is repeated although it counts how often it does."""
    assert same(attachment, np.float32(1), repeatable=False)
    wire.up = 2 * MIB
    assert same(attachment, LARGE, repeatable=False)
    assert (accelerator.runs, wire.cuts) == (2, 1)


def test_cut_within_an_answer_that_may_be_repeated(
    accelerator: Accelerator, wire: Wire, attachment: Attachment
) -> None:
    """The answer is whole, and of the second run."""
    wire.down = 2 * MIB
    assert same(attachment, LARGE, repeatable=True)
    assert (accelerator.runs, wire.cuts) == (2, 1)


def test_cut_within_an_answer_that_may_not(
    accelerator: Accelerator, wire: Wire, attachment: Attachment
) -> None:
    """The caller is told that it is unknown; nothing runs twice."""
    wire.down = 2 * MIB
    with pytest.raises(AnswerLostError):
        same(attachment, LARGE, repeatable=False)
    assert accelerator.runs == 1


def test_cut_between_calls(accelerator: Accelerator, wire: Wire, attachment: Attachment) -> None:
    """The next call finds its way."""
    assert same(attachment, np.float32(1), repeatable=True)
    wire.cut()
    assert same(attachment, np.float32(2), repeatable=True)
    assert accelerator.runs == 2


def test_restart_with_goaway(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment
) -> None:
    """The server drains and ends, and another one takes its place."""
    assert same(attachment, np.float32(1), repeatable=True)
    ends[0].stop()
    other = FarSide()
    ends[1].to = other.port
    other.behaviours.update(ends[0].behaviours)
    try:
        assert same(attachment, np.float32(2), repeatable=True)
    finally:
        other.stop()


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE]
)
@pytest.mark.parametrize("repeatable", [True, False])
def test_streams_that_end_without_our_trailer(
    ends: tuple[FarSide, Wire],
    accelerator: Accelerator,
    attachment: Attachment,
    code: grpc.StatusCode,
    repeatable: bool,
) -> None:
    """As gRPC ends them by itself: the connection is lost, and with it what ran perhaps."""

    def ending(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        ends[0].behaviours["Run"] = accelerator.run
        context.send_initial_metadata((("x", "y"),))
        next(requests)
        context.abort(code, "the stream ended")
        yield b""

    ends[0].behaviours["Run"] = ending
    if repeatable:
        assert same(attachment, np.float32(1), repeatable=True)
    else:
        with pytest.raises(AnswerLostError):
            same(attachment, np.float32(1), repeatable=False)


@pytest.mark.parametrize("repeatable", [True, False])
def test_what_must_not_run_twice_waits_for_the_stream(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment, repeatable: bool
) -> None:
    """Else it might run on a stream whose headers and answer are lost together."""
    came_early: list[bool] = []

    def late(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        came: SimpleQueue[bytes | None] = SimpleQueue()

        def read() -> None:
            with contextlib.suppress(Exception):  # as a call that is cancelled ends
                for request in requests:
                    came.put(request)
            came.put(None)

        threading.Thread(target=read, daemon=True).start()
        time.sleep(patience(0.5))
        came_early.append(not came.empty())
        return accelerator.run(iter(came.get, None), context)

    ends[0].behaviours["Run"] = late
    assert same(attachment, np.float32(1), repeatable=repeatable)
    assert same(attachment, np.float32(2), repeatable=repeatable)
    assert (came_early, accelerator.runs) == ([repeatable], 2)


def test_an_answer_of_another_call(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment
) -> None:
    """Is never taken for this one's."""

    def mistaken(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        call = CallReceiver(DEFAULT_LIMITS).receive(next(requests))
        assert call is not None
        object.__setattr__(call, "call_id", call.call_id + 1)
        yield from answer(call, call.feeds, Timing(), True, DEFAULT_LIMITS)

    ends[0].behaviours["Run"] = mistaken
    with pytest.raises(StreamError, match="another call"):
        same(attachment, np.float32(1), repeatable=True)


def test_cut_within_an_upload(
    accelerator: Accelerator, wire: Wire, attachment: Attachment, bundle: Bundle
) -> None:
    """It goes on and the model is loaded."""
    wire.up = MIB
    attachment.prepare(bundle)
    assert (accelerator.held, accelerator.loaded, wire.cuts) == (CONTENT, True, 1)


@pytest.mark.parametrize("name", ["FindMissing", "Upload", "Load"])
@pytest.mark.parametrize("error", [ConnectionLostError("draining"), BusyError("full")])
def test_preparing_rides_over_refusals(
    accelerator: Accelerator,
    attachment: Attachment,
    bundle: Bundle,
    name: str,
    error: AcceleratorError,
) -> None:
    """Wherever they come."""
    accelerator.failures[name] = [error, error]
    attachment.prepare(bundle)
    assert accelerator.loaded


def test_another_call_uploads_the_file(
    accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """The client waits, and sends nothing when the other one was done."""

    def busy(name: str, context: Any) -> None:
        if name == "Upload":
            accelerator.held = CONTENT
            accelerator.failures["now"] = [
                BusyError("Another call uploads this file.", fields={"retry_after_ms": "50"})
            ]
            Accelerator.fail(accelerator, "now", context)

    accelerator.fail = busy  # type: ignore[method-assign]
    attachment.prepare(bundle)
    assert (accelerator.uploads, accelerator.loaded) == (0, True)


def test_another_call_is_about_to_finish_the_file(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """All of it has arrived, and is not in its place yet: nothing is sent, and the client waits."""
    asked = 0

    def all_but_there(request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked <= 7:
            whole = pb.MissingBlob(sha256=DIGEST, committed_bytes=len(CONTENT))
            return pb.FindMissingResponse(missing=[whole])
        return pb.FindMissingResponse()

    ends[0].behaviours["FindMissing"] = all_but_there
    attachment.prepare(bundle)
    assert (accelerator.uploads, accelerator.loaded, asked) == (0, True, 8)


def test_what_an_accelerator_says_it_stored_is_not_asked_for_again(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """One question, one upload, and the model is loaded."""
    asked = 0

    def find_missing(request: Any, context: Any) -> Any:
        nonlocal asked
        asked += 1
        return accelerator.find_missing(request, context)

    def upload(requests: Iterator[Any], context: Any) -> Any:
        accelerator.upload(requests, context)
        return pb.UploadResponse(stored=[pb.Blob(sha256=DIGEST, size=len(CONTENT))])

    ends[0].behaviours.update(FindMissing=find_missing, Upload=upload)
    attachment.prepare(bundle)
    assert (accelerator.uploads, accelerator.loaded, asked) == (1, True, 1)


def test_a_damaged_part_on_the_accelerator(
    accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """The file is sent once more, from its beginning."""
    accelerator.held = b"damaged"
    attachment.prepare(bundle)
    assert (accelerator.held, accelerator.uploads) == (CONTENT, 2)


def test_a_file_that_changed(
    accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """Is not sent once more."""
    bundle.paths[DIGEST.hex()].write_bytes(CONTENT[::-1])
    with pytest.raises(ModelError) as caught:
        attachment.prepare(bundle)
    assert (caught.value.reason, accelerator.uploads) == ("DIGEST_MISMATCH", 1)


def test_a_digest_that_is_always_wrong(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """Whatever is sent: the file is sent twice, and then the error is raised."""

    def mismatch(requests: Iterator[Any], context: Any) -> Any:
        accelerator.uploads += len([request for request in requests if not request.offset])
        accelerator.failures["always"] = [ModelError("other", reason="DIGEST_MISMATCH")]
        accelerator.fail("always", context)

    ends[0].behaviours["Upload"] = mismatch
    with pytest.raises(ModelError) as caught:
        attachment.prepare(bundle)
    assert (caught.value.reason, accelerator.uploads) == ("DIGEST_MISMATCH", 2)


def test_files_that_are_taken_and_never_there(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """An accelerator that forgets what it said it took is believed five times."""

    def forget(requests: Iterator[Any], _: Any) -> Any:
        accelerator.uploads += len([request for request in requests if not request.offset])
        return pb.UploadResponse()

    ends[0].behaviours["Upload"] = forget
    with pytest.raises(StreamError, match="keeps asking"):
        attachment.prepare(bundle)
    assert accelerator.uploads == 5


def test_a_file_that_went_away(
    accelerator: Accelerator, attachment: Attachment, bundle: Bundle
) -> None:
    """Is told as what it is, and not taken for a broken connection."""
    bundle.paths[DIGEST.hex()].unlink()
    with pytest.raises(FileNotFoundError):
        attachment.prepare(bundle)


def test_an_empty_budget(
    ends: tuple[FarSide, Wire], accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error that happened is raised at once; when calls succeed again, they do."""
    accelerator.failures["FindMissing"] = [BusyError("full")] * 2
    with attached(ends[1], monkeypatch, RetryBudget(1)) as attachment:
        request = pb.FindMissingRequest()
        with pytest.raises(BusyError) as caught:
            attachment._patiently(lambda: attachment._call("FindMissing", request))
        assert caught.value.fields["retries"] == "exhausted"
        assert same(attachment, np.float32(1), repeatable=True)


def test_cancelled_while_waiting(
    accelerator: Accelerator, attachment: Attachment, ends: tuple[FarSide, Wire]
) -> None:
    """The caller does not wait for the end of a pause."""
    cancellation = Cancellation()

    def full(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        accelerator.failures["Run"] = [BusyError("full", fields={"retry_after_ms": "50000"})]
        threading.Timer(0.3, cancellation.cancel).start()
        accelerator.fail("Run", context)
        yield b""

    ends[0].behaviours["Run"] = full
    call = Call(GRAPH, {}, cancellation=cancellation)
    with pytest.raises(CancelledError):
        attachment.run(call, repeatable=True)


@pytest.mark.parametrize(("times", "succeeds"), [(3, True), (4, False)])
def test_a_model_that_goes_missing(
    ends: tuple[FarSide, Wire],
    accelerator: Accelerator,
    attachment: Attachment,
    bundle: Bundle,
    times: int,
    succeeds: bool,
) -> None:
    """Also between sending and loading: sent again three times, not for ever."""
    accelerator.failures["Run"] = [ModelMissingError("gone")]
    accelerator.failures["Load"] = [ModelMissingError("gone")] * (times - 1)

    def missing(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        accelerator.fail("Run", context)
        yield from accelerator.run(requests, context)

    ends[0].behaviours["Run"] = missing
    model = cast(Model, type("M", (), {"bundle": lambda _: bundle})())
    remote = RemoteModel(model, lambda: attachment)
    expected = contextlib.nullcontext() if succeeds else pytest.raises(ModelMissingError)
    with expected:
        assert remote.run({"x": np.float32(1)}).fetches["x"] == 1
    assert accelerator.runs == int(succeeds)
