"""A store on a disk that is really full: a small file system in memory, where it may be mounted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_daemon.accelerator.store import BundleStore
from accel_protocol.errors import BusyError
from accel_protocol.limits import Limits
from tests.conftest import small_disk

KIB = 1024
FIRST, SECOND = os.urandom(300 * KIB), os.urandom(300 * KIB)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    with small_disk(tmp_path / "disk", 1):
        yield tmp_path / "disk"


def digest(data: bytes) -> str:
    """Its SHA-256."""
    return hashlib.sha256(data).hexdigest()


def send(store: BundleStore, data: bytes, offset: int = 0) -> None:
    """Upload from an offset on, in chunks."""
    upload = store.receive(digest(data), len(data))
    try:
        for start in range(offset, len(data), 64 * KIB):
            upload.append(start, data[start : start + 64 * KIB])
    finally:
        upload.close()


def fill(disk: Path, leave: int) -> Path:
    """Somebody else takes the disk but for so many bytes."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize - leave))
    return filler


def test_a_full_disk_is_said_and_gone_on_from(disk: Path) -> None:
    """Where the disk fills up in the middle, what was taken stays, and the rest comes later."""
    store = BundleStore(disk / "store", Limits())
    upload = store.receive(digest(FIRST), len(FIRST))
    upload.append(0, FIRST[: 64 * KIB])
    filler = fill(disk, leave=8 * KIB)
    with pytest.raises(BusyError) as caught:
        upload.append(64 * KIB, FIRST[64 * KIB : 128 * KIB])
    upload.close()
    assert caught.value.reason == "DISK_FULL"
    assert str(disk) not in str(caught.value)
    assert store.committed_bytes(digest(FIRST), len(FIRST)) == 64 * KIB
    filler.unlink()
    send(store, FIRST, offset=64 * KIB)
    assert (disk / "store" / "blobs" / digest(FIRST)).read_bytes() == FIRST


def test_no_upload_begins_that_has_no_room(disk: Path) -> None:
    """It is refused before anything was sent, and works once there is room."""
    store = BundleStore(disk / "store", Limits())
    filler = fill(disk, leave=100 * KIB)
    with pytest.raises(BusyError) as caught:
        send(store, FIRST)
    assert caught.value.reason == "DISK_FULL"
    filler.unlink()
    send(store, FIRST)
    assert store.has(digest(FIRST))


def test_an_unfinished_upload_makes_room(disk: Path) -> None:
    """What nobody goes on with is removed before anybody is refused."""
    store = BundleStore(disk / "store", Limits())
    upload = store.receive(digest(SECOND), len(SECOND))
    upload.append(0, SECOND[: 256 * KIB])
    upload.close()
    fill(disk, leave=100 * KIB)
    send(store, FIRST)
    assert store.has(digest(FIRST))
    assert store.committed_bytes(digest(SECOND), len(SECOND)) == 0
