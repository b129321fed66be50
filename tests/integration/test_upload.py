"""Uploading: only what is missing, from where it broke off, and never anything but the content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    BusyError,
    LimitError,
    ModelError,
    StreamError,
)
from accel_protocol.manifest import SAVED_MODEL, Selection
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.models import bundle as bundles
from client_runtime.models.bundle import Bundle
from client_runtime.transport.channel import call
from client_runtime.transport.grants import Grant
from client_runtime.transport.uploading import upload
from tests.conftest import eventually
from tests.integration.conftest import LoneAccelerator

MIB = 1 << 20


@pytest.fixture
def content() -> bytes:
    """Three and a half MiB that no accelerator has."""
    return np.random.default_rng().bytes(3 * MIB + MIB // 2)


@pytest.fixture
def bundle(tmp_path: Path, content: bytes) -> Bundle:
    """A bundle of that one file."""
    (tmp_path / "saved_model.pb").write_bytes(content)
    files = {"saved_model.pb": tmp_path / "saved_model.pb"}
    return bundles.make_bundle(files, SAVED_MODEL, Selection(signature="none"))


@pytest.fixture
def channel(lone_accelerator: LoneAccelerator) -> Iterator[grpc.Channel]:
    """A channel to the lone accelerator."""
    with lone_accelerator.channel() as opened:
        yield opened


@pytest.fixture
def grant(lone_accelerator: LoneAccelerator) -> Grant:
    """A good grant."""
    return lone_accelerator.grant()


def blob_of(content: bytes) -> pb.Blob:
    """How a file is announced."""
    return pb.Blob(sha256=hashlib.sha256(content).digest(), size=len(content))


def committed(channel: grpc.Channel, grant: Grant, content: bytes) -> int | None:
    """Bytes of a file that are there; None when all are."""
    request = pb.FindMissingRequest(blobs=[blob_of(content)])
    missing = call(channel, grant, "FindMissing", request).missing
    return int(missing[0].committed_bytes) if missing else None


def test_goes_on_where_it_broke_off(
    channel: grpc.Channel, grant: Grant, bundle: Bundle, content: bytes
) -> None:
    """After a broken upload only the rest is sent."""

    def breaks_off() -> Iterator[pb.UploadRequest]:
        yield pb.UploadRequest(blob=blob_of(content), offset=0, data=content[:MIB])
        eventually(lambda: committed(channel, grant, content) == MIB)
        raise ConnectionError("the cable is cut here")

    with pytest.raises(AcceleratorError):
        call(channel, grant, "Upload", breaks_off())
    assert committed(channel, grant, content) == MIB

    assert upload(channel, grant, bundle) == len(content) - MIB
    assert committed(channel, grant, content) is None
    assert upload(channel, grant, bundle) == 0


def test_other_principals_files_are_invisible(
    channel: grpc.Channel, lone_accelerator: LoneAccelerator, content: bytes
) -> None:
    """What nobody has and what only others have look alike: another principal is not let in."""
    stranger = lone_accelerator.grant(principal="stranger")
    lone_accelerator.grant()

    with pytest.raises(AccessDeniedError, match="another principal"):
        committed(channel, stranger, content)


@pytest.mark.parametrize(
    ("offsets", "error"),
    [
        ([1], StreamError),
        ([0, 5], StreamError),
        ([0, 20], StreamError),
        ([0, 0], StreamError),
    ],
    ids=["begins late", "overlaps", "has a gap", "repeats"],
)
def test_chunks_have_to_follow_each_other(
    channel: grpc.Channel, grant: Grant, offsets: list[int], error: type[Exception]
) -> None:
    """Gaps, overlaps and repetitions are refused."""
    content = np.random.default_rng().bytes(100)
    requests = [
        pb.UploadRequest(blob=blob_of(content), offset=offset, data=content[offset : offset + 10])
        for offset in offsets
    ]

    with pytest.raises(error):
        call(channel, grant, "Upload", iter(requests))


def test_wrong_content_is_never_stored(channel: grpc.Channel, grant: Grant) -> None:
    """The accelerator computes the digest itself."""
    announced, sent = np.random.default_rng().bytes(64), np.random.default_rng().bytes(64)
    request = pb.UploadRequest(blob=blob_of(announced), offset=0, data=sent)

    with pytest.raises(ModelError) as caught:
        call(channel, grant, "Upload", iter([request]))

    assert caught.value.reason == "DIGEST_MISMATCH"
    assert committed(channel, grant, announced) == 0


def test_too_large_a_file_is_refused(channel: grpc.Channel, grant: Grant) -> None:
    """The announced size alone is enough to refuse."""
    blob = pb.Blob(sha256=bytes(32), size=1 << 60)
    request = pb.UploadRequest(blob=blob, offset=0, data=b"x")

    with pytest.raises(LimitError) as caught:
        call(channel, grant, "Upload", iter([request]))

    assert caught.value.fields["name"] == "file_bytes"


def test_two_uploads_of_one_file(channel: grpc.Channel, grant: Grant, content: bytes) -> None:
    """While one call brings a file, another one is told to come back."""
    first_is_there: list[bool] = []

    def slow() -> Iterator[pb.UploadRequest]:
        yield pb.UploadRequest(blob=blob_of(content), offset=0, data=content[:MIB])
        eventually(lambda: committed(channel, grant, content) is not None)
        first_is_there.append(True)
        other = pb.UploadRequest(blob=blob_of(content), offset=0, data=content[:MIB])
        with pytest.raises(BusyError):
            call(channel, grant, "Upload", iter([other]))
        for offset in range(MIB, len(content), MIB):
            data = content[offset : offset + MIB]
            yield pb.UploadRequest(blob=blob_of(content), offset=offset, data=data)

    stored = call(channel, grant, "Upload", slow()).stored

    assert first_is_there
    assert len(stored) == 1
