"""The identities' file: what is read, written, refused and noticed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.iam.principals import Identities, User, new_access_key
from accel_protocol.errors import ConfigurationError

CREATED = "2026-01-31T12:00:00+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be, in a folder that is not there yet."""
    return tmp_path / "iam" / "identities.json"


def add(name: str) -> Callable[[Identities], Identities]:
    """A change that adds a user."""
    return lambda identities: identities.with_user(User(name))


def test_missing_file_holds_nobody(path: Path) -> None:
    """Before the first user there is an empty account, and loading makes no file."""
    assert IdentityStore(path).load() == Identities("000000000000")
    assert not path.exists()


def test_update_is_seen_by_others(path: Path) -> None:
    """What one store writes another reads."""
    key = new_access_key(CREATED)
    written = IdentityStore(path).update(lambda i: i.with_user(User("alice", (), (key,))))
    assert written.find_key(key.access_key_id) is not None
    assert IdentityStore(path).load() == written


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_files_are_private(path: Path, umask: int) -> None:
    """File and lock are the owner's alone, and no temporary file stays."""
    before = os.umask(umask)
    try:
        IdentityStore(path).update(add("alice"))
    finally:
        os.umask(before)
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in path.parent.iterdir()}
    assert modes == {"identities.json": 0o600, "identities.json.lock": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def fail(identities: Identities) -> Identities:
    """A change that goes wrong."""
    raise ValueError


def test_failed_change_changes_nothing(path: Path) -> None:
    """The file stays as it was, and the lock is free again."""
    store = IdentityStore(path)
    before = store.update(add("alice"))
    with pytest.raises(ValueError):
        store.update(fail)
    assert store.load() == before
    assert store.update(add("bob")).find_user("bob")


def test_failed_write_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the old file and no temporary one."""
    store = IdentityStore(path)
    before = store.update(add("alice"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match="No space"):
            store.update(add("bob"))
    assert store.load() == before
    assert sorted(os.listdir(path.parent)) == ["identities.json", "identities.json.lock"]


def add_many(path: Path, prefix: str) -> None:
    """What one process of the test below does."""
    for number in range(10):
        IdentityStore(path).update(add(f"{prefix}{number}"))


def test_no_update_is_lost(path: Path) -> None:
    """Processes that write at once all find their users in the end."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=add_many, args=(path, prefix)) for prefix in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    names = {user.name for user in IdentityStore(path).load().users}
    assert names == {f"{prefix}{number}" for prefix in "abc" for number in range(10)}


def test_change_by_another_is_noticed_once(path: Path) -> None:
    """changed() is true from another's update until the next load."""
    daemon, command = IdentityStore(path), IdentityStore(path)
    assert daemon.changed()
    daemon.load()
    assert not daemon.changed()
    command.update(add("alice"))
    assert daemon.changed()
    assert daemon.load().find_user("alice")
    assert not daemon.changed()
    assert not command.changed()


def test_removed_file_is_noticed(path: Path) -> None:
    """Who deletes the file deletes the users."""
    store = IdentityStore(path)
    store.update(add("alice"))
    path.unlink()
    assert store.changed()
    assert store.load().users == ()
    assert not store.changed()


def test_change_of_the_same_size_is_noticed(path: Path) -> None:
    """Size alone would not tell."""
    daemon, command = IdentityStore(path), IdentityStore(path)
    command.update(add("alice"))
    daemon.load()
    size = path.stat().st_size
    command.update(lambda identities: identities.without_user("alice").with_user(User("malic")))
    assert path.stat().st_size == size
    assert daemon.changed()


def rewrite(text: bytes) -> Callable[[Path], None]:
    """Put other bytes in the file."""

    def change(path: Path) -> None:
        path.write_bytes(text)

    return change


def link(path: Path) -> None:
    """Replace the file by a link to it."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def folder(path: Path) -> None:
    """Replace the file by a folder."""
    path.unlink()
    path.mkdir(mode=0o700)


def pipe(path: Path) -> None:
    """Replace the file by a pipe."""
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.chmod(0o640),
        lambda path: path.chmod(0o604),
        lambda path: path.chmod(0o602),
        rewrite(b""),
        rewrite(b"{}"),
        rewrite(b"\xff"),
        link,
        folder,
        pipe,
    ],
    ids=["group", "others", "writable", "empty", "malformed", "not text", "link", "folder", "pipe"],
)
def test_damaged_file_is_refused_and_kept(path: Path, damage: Callable[[Path], None]) -> None:
    """Neither read nor overwritten, told without its path, and still "changed" afterwards."""
    store = IdentityStore(path)
    store.update(add("alice"))
    damage(path)
    before = identity_of(path)
    for attempt in (store.load, lambda: store.update(add("bob"))):
        with pytest.raises(ConfigurationError) as refusal:
            attempt()
        assert str(path) not in str(refusal.value)
    assert identity_of(path) == before


def identity_of(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced, and not when it is only read."""
    status = os.lstat(path)
    return (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff"])
def test_malformed_file_stays_changed(path: Path, text: bytes) -> None:
    """A daemon that could not read it tries again, for instance after a repair."""
    store = IdentityStore(path)
    store.update(add("alice"))
    path.write_bytes(text)
    with pytest.raises(ConfigurationError):
        store.load()
    assert store.changed()
