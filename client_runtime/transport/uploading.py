"""Bringing a model bundle to an accelerator: only what it lacks, from where it broke off."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from accel_protocol import upload_frames
from accel_protocol.errors import AcceleratorError, BusyError, ModelError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models.bundle import Bundle
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant
from client_runtime.transport.progress import Progress, progress

_log = logging.getLogger(__name__)
# How often an accelerator may ask for files that it said it had taken.
_ROUNDS = 5
Left = Callable[[], float | None]


def upload(channel: grpc.Channel, grant: Grant, bundle: Bundle, left: Left = lambda: None) -> int:
    """Send the files the accelerator lacks, in one attempt; answers how many bytes were sent.

    See `Upload.attempt` for the arguments and errors.
    """
    one = Upload(bundle, left)
    one.attempt(channel, grant)
    return one.sent


class Upload:
    """The upload of one bundle, in as many attempts as it takes; each goes on where the last broke.

    Args:
        bundle: the model.
        left: tells how many seconds there still are; None for no bound.

    Attributes:
        sent: bytes that were sent.
        progress: bytes that were seen on the accelerator, at most: whoever sent them.
    """

    def __init__(self, bundle: Bundle, left: Left = lambda: None) -> None:
        self._bundle, self._left = bundle, left
        self._sizes = {bytes.fromhex(f.sha256): f.size for f in bundle.manifest.files}
        self._anew = False
        self._failure: Exception | None = None
        self.sent = 0
        self.progress = 0

    def attempt(self, channel: grpc.Channel, grant: Grant) -> None:
        """Send what is missing; may be repeated after any error.

        Args:
            channel: leads to the accelerator.
            grant: permits using it.

        Raises:
            ConnectionLostError, BusyError: the same again may succeed.
            AcceleratorError: refused.
            OSError: a file can no longer be read.
        """
        for _ in range(_ROUNDS):
            missing = self._find_missing(channel, grant)
            if not missing:
                return
            if all(self._is_here(entry) for entry in missing):
                raise _another_call()  # which is about to put them in their place
            try:
                if self._send(channel, grant, missing):
                    return
            except ModelError as error:
                self._begin_anew(error, missing)
            except StreamError as error:
                if self._find_missing(channel, grant) == missing:
                    raise
                # Another upload of the same files came between the question and the answer.
                raise _another_call() from error
        raise StreamError("The accelerator keeps asking for files that it was sent.")

    def _find_missing(self, channel: grpc.Channel, grant: Grant) -> list[Any]:
        blobs = [pb.Blob(sha256=digest, size=size) for digest, size in self._sizes.items()]
        request = pb.FindMissingRequest(blobs=blobs)
        answer = channels.call(channel, grant, "FindMissing", request, self._left())
        missing = list(answer.missing)
        if any(one.committed_bytes > self._sizes.get(one.sha256, -1) for one in missing):
            raise StreamError("The accelerator asks for what the model does not have.")
        self.progress = max(self.progress, sum(self._sizes.values()) - self._lacking(missing))
        return missing

    def _is_here(self, entry: Any) -> bool:
        """Whether all of a file has arrived, although it is not there yet."""
        return bool(entry.committed_bytes) and entry.committed_bytes == self._sizes[entry.sha256]

    def _lacking(self, missing: list[Any]) -> int:
        return sum(self._sizes[entry.sha256] - entry.committed_bytes for entry in missing)

    def _send(self, channel: grpc.Channel, grant: Grant, missing: list[Any]) -> bool:
        """Send what is missing; whether the accelerator says that it has all of it."""
        self._failure = None
        with progress("uploading the model", self._lacking(missing)) as shown:
            try:
                answer = channels.call(
                    channel, grant, "Upload", self._requests(missing, shown), self._left()
                )
            except AcceleratorError as error:
                if self._failure is not None:  # which gRPC makes an error of its own of
                    raise self._failure from None
                _log.info("an upload broke off: %s", error.message)
                raise
        return {entry.sha256 for entry in missing} <= {blob.sha256 for blob in answer.stored}

    def _requests(self, missing: list[Any], shown: Progress) -> Iterator[bytes]:
        try:
            for entry in missing:
                blob = pb.Blob(sha256=entry.sha256, size=self._sizes[entry.sha256])
                yield from self._chunks(blob, entry.committed_bytes, shown)
        except (OSError, ModelError) as error:
            self._failure = error
            raise

    def _chunks(self, blob: Any, offset: int, shown: Progress) -> Iterator[bytes]:
        piece = memoryview(bytearray(min(DEFAULT_LIMITS.piece_bytes, blob.size - offset)))
        with self._bundle.paths[blob.sha256.hex()].open("rb", buffering=0) as stream:
            stream.seek(offset)
            while offset < blob.size or blob.size == 0:
                size = stream.readinto(piece[: blob.size - offset])
                if not size and blob.size:
                    raise ModelError(
                        "A file of the model became shorter while it was sent.",
                        reason="DIGEST_MISMATCH",
                    )
                yield upload_frames.encode(blob, offset, piece[:size])
                offset += size
                self.sent += size
                shown(size)
                if not blob.size:
                    return

    def _begin_anew(self, error: ModelError, missing: list[Any]) -> None:
        """Let the files be sent once more, when what was damaged were not ours.

        What an accelerator kept of an interrupted upload may have been damaged on its disk. It
        threw that away when the digest turned out wrong.

        Raises:
            ModelError: the same, when that is no explanation, or was none before.
        """
        if error.reason != "DIGEST_MISMATCH" or error is self._failure or self._anew:
            raise error
        if not all(self._is_unchanged(entry.sha256) for entry in missing):
            raise error
        self._anew = True
        _log.warning("a file arrived damaged, and is sent once more: %s", error.message)

    def _is_unchanged(self, digest: bytes) -> bool:
        with self._bundle.paths[digest.hex()].open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest() == digest


def _another_call() -> BusyError:
    return BusyError("Another call uploads these files.")
