"""The supervisor's own files on a disk that is full: what was there stays, and errors are typed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from accel_daemon.control.audit import AUDIT, AuditRecord, audit, open_audit_log
from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.tag_store import TagStore
from accel_daemon.flight_record import FlightRecorder, read_file
from accel_daemon.iam.principals import User
from accel_protocol.errors import ConfigurationError, InternalError
from tests.conftest import small_disk

KIB = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    with small_disk(tmp_path / "disk", 1):
        yield tmp_path / "disk"


def fill(disk: Path, leave: int = 0) -> Path:
    """Somebody else takes the disk but for so many bytes."""
    status = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize - leave))
    return filler


def user(name: str) -> User:
    """A user whose policies take more than a block."""
    return User(name, ({"Version": "2012-10-17", "Statement": [{"Sid": "x" * 8 * KIB}]},), ())


def test_identities(disk: Path) -> None:
    """A change that has no room is refused, and leaves the file as it was and nothing beside it."""
    store = IdentityStore(disk / "identities.json")
    before = store.update(lambda now: now.with_user(user("one")))
    names = {path.name for path in disk.iterdir()}
    filler = fill(disk)
    with pytest.raises(ConfigurationError, match="No space left") as caught:
        store.update(lambda now: now.with_user(user("two")))
    assert str(disk) not in str(caught.value)
    assert IdentityStore(disk / "identities.json").load() == before
    filler.unlink()
    assert {path.name for path in disk.iterdir()} == names
    store.update(lambda now: now.with_user(user("two")))
    assert {one.name for one in store.load().users} == {"one", "two"}


def test_tags(disk: Path) -> None:
    """The same for tags, which whoever asks still gets."""
    store = TagStore(disk / "tags.json")
    store.replace("eia-1", {"a": "1"})
    filler = fill(disk)
    with pytest.raises(InternalError):
        store.replace("eia-1", {"a": "x" * 8 * KIB})
    for one in (store, TagStore(disk / "tags.json")):
        assert one.get("eia-1") == {"a": "1"}
    filler.unlink()
    store.replace("eia-1", {"a": "2"})
    assert TagStore(disk / "tags.json").get("eia-1") == {"a": "2"}


def write_lines(first: int, count: int) -> None:
    """Write decisions, each of a number."""
    for number in range(first, first + count):
        audit(AuditRecord("somebody", "action", "*", True, "x" * 300, str(number)))


def test_audit_log(disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What was written stays; what had no room is counted once there is some again."""
    handler = open_audit_log(disk / "audit.log")
    try:
        write_lines(0, 10)
        filler = fill(disk)
        write_lines(10, 100)
        filler.unlink()
        write_lines(110, 10)
    finally:
        AUDIT.removeHandler(handler)
        handler.close()
    lines = [json.loads(line) for line in (disk / "audit.log").read_text().splitlines()]
    (at,) = (at for at, line in enumerate(lines) if not line["request_id"])
    numbers = [int(line["request_id"]) for line in lines[:at]]
    assert numbers == list(range(len(numbers)))
    assert 10 <= len(numbers) < 110
    assert lines[at]["reason"] == f"{110 - len(numbers)} more lines were left out."
    assert [int(line["request_id"]) for line in lines[at + 1 :]] == list(range(110, 120))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("leave", [0, 4 * KIB])
def test_flight_record(disk: Path, leave: int) -> None:
    """It is made whole or not at all: a process would be killed where its map has no file."""
    fill(disk, leave)
    with pytest.raises(OSError) as caught:
        FlightRecorder(disk / "record", slots=1024)
    assert caught.value.errno == errno.ENOSPC
    assert len(read_file(disk / "record")) <= leave
