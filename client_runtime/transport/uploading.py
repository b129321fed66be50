"""Bringing a model bundle to an accelerator: only what it lacks, from where it broke off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from accel_protocol.errors import ConnectionLostError, StreamError
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models.bundle import Bundle
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant
from client_runtime.transport.progress import Progress, progress

_log = logging.getLogger(__name__)
_ATTEMPTS = 5
Left = Callable[[], float | None]


def upload(channel: grpc.Channel, grant: Grant, bundle: Bundle, left: Left = lambda: None) -> int:
    """Send the files the accelerator lacks; answers how many bytes were sent.

    A broken connection is taken up again where it broke, a few times.

    Args:
        channel: leads to the accelerator.
        grant: permits using it.
        bundle: the model.
        left: tells how many seconds there still are; None for no bound.

    Raises:
        AcceleratorError: refused, or the connection kept breaking.
        OSError: a file can no longer be read.
    """
    sent = 0
    for attempt in range(1, _ATTEMPTS + 1):
        missing = _find_missing(channel, grant, bundle, left)
        if not missing:
            return sent
        counted = _Counted()
        try:
            _send(channel, grant, bundle, missing, counted, left)
        except ConnectionLostError:
            if attempt == _ATTEMPTS:
                raise
            _log.info("upload broke off after %d bytes; going on from there", counted.sent)
        sent += counted.sent
    return sent


class _Counted:
    sent = 0


def _find_missing(channel: grpc.Channel, grant: Grant, bundle: Bundle, left: Left) -> list[Any]:
    blobs = [
        pb.Blob(sha256=bytes.fromhex(file.sha256), size=file.size) for file in bundle.manifest.files
    ]
    request = pb.FindMissingRequest(blobs=blobs)
    answer = channels.call(channel, grant, "FindMissing", request, left())
    sizes = _sizes(bundle)
    if any(one.committed_bytes > sizes.get(one.sha256, -1) for one in answer.missing):
        raise StreamError("The accelerator asks for what the model does not have.")
    return list(answer.missing)


def _sizes(bundle: Bundle) -> dict[bytes, int]:
    return {bytes.fromhex(file.sha256): file.size for file in bundle.manifest.files}


def _send(
    channel: grpc.Channel,
    grant: Grant,
    bundle: Bundle,
    missing: list[Any],
    counted: _Counted,
    left: Left,
) -> None:
    sizes = _sizes(bundle)
    total = sum(sizes[entry.sha256] - entry.committed_bytes for entry in missing)
    with progress("uploading the model", total) as shown:
        requests = _requests(bundle, missing, sizes, shown, counted)
        channels.call(channel, grant, "Upload", requests, left())


def _requests(
    bundle: Bundle,
    missing: list[Any],
    sizes: dict[bytes, int],
    shown: Progress,
    counted: _Counted,
) -> Iterator[pb.UploadRequest]:
    for entry in missing:
        blob = pb.Blob(sha256=entry.sha256, size=sizes[entry.sha256])
        offset = entry.committed_bytes
        with bundle.paths[entry.sha256.hex()].open("rb") as stream:
            stream.seek(offset)
            while True:
                data = stream.read(DEFAULT_LIMITS.piece_bytes)
                if data or offset == blob.size == 0:
                    yield pb.UploadRequest(blob=blob, offset=offset, data=data)
                offset += len(data)
                counted.sent += len(data)
                shown(len(data))
                if not data:
                    break
