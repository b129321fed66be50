"""What a client makes of messages that no honest accelerator sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from accel_protocol import frames
from accel_protocol.errors import StreamError
from accel_protocol.frames import Message
from accel_protocol.manifest import BundleFile, Manifest, Selection
from accel_protocol.message_stream import Incoming
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models.bundle import Bundle
from client_runtime.transport import exchange, uploading
from client_runtime.transport.lane import Lane

DATA = b"content"
DIGEST = hashlib.sha256(DATA).digest()


class Answering:
    """A lane on which one message comes back."""

    has_begun_nothing = False

    def __init__(self, message: bytes) -> None:
        self._message = message

    def send(self, messages: Iterable[Message]) -> None:
        """Take the call."""
        for _ in messages:
            pass

    def receive(self) -> Incoming:
        """The message."""
        return Incoming(frames.decode(self._message), 0, len(self._message))

    def fill(self, room: memoryview) -> None:
        """Nothing is missing."""


@pytest.mark.parametrize(
    "message", [frames.encode(1, head=b"\xff"), frames.encode(1, error=b"\x0a\x05a")]
)
def test_an_answer_that_is_no_message(message: bytes) -> None:
    """Neither its result nor its error can be read."""
    call = exchange.Call(bytes(32), {})
    with pytest.raises(StreamError, match="cannot be read"):
        exchange.exchange(cast(Lane, Answering(message)), 1, call)


@pytest.mark.parametrize(
    "asked",
    [
        pb.MissingBlob(sha256=bytes(32)),
        pb.MissingBlob(sha256=b"x"),
        pb.MissingBlob(sha256=DIGEST, committed_bytes=len(DATA) + 1),
        pb.MissingBlob(sha256=DIGEST, committed_bytes=2**64 - 1),
    ],
)
def test_a_file_that_the_model_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: pb.MissingBlob
) -> None:
    """Is asked for, or a part of one that is not there; nothing is sent."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    file = BundleFile("a", len(DATA), DIGEST.hex())
    manifest = Manifest("f", (file,), Selection(signature="s"))
    bundle = Bundle(manifest, manifest.graph_id(), {DIGEST.hex(): path})

    def call(_: object, __: object, name: str, *more: object) -> Any:
        assert name == "FindMissing"
        return pb.FindMissingResponse(missing=[asked])

    monkeypatch.setattr(uploading.channels, "call", call)
    with pytest.raises(StreamError, match="does not have"):
        uploading.upload(cast(Any, None), cast(Any, None), bundle)
