"""The authority on disk: who can read it, and everything that stops the daemon's start."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accel_daemon.pki.authority import (
    Authority,
    create_authority,
    fingerprint,
    issue_leaf,
    private_key_pem,
)
from accel_daemon.pki.files import load_or_create_authority
from accel_protocol.errors import ConfigurationError

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that holds a good authority."""
    made = tmp_path / "pki"
    load_or_create_authority(made, NOW)
    return made


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Under several umasks."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """A file's permission bits."""
    return path.stat().st_mode & 0o7777


def test_second_start_finds_the_same_authority(folder: Path) -> None:
    """Certificate and key are what was written."""
    first, second = (load_or_create_authority(folder, NOW) for _ in range(2))
    assert fingerprint(first.certificate) == fingerprint(second.certificate)
    assert private_key_pem(first.private_key) == private_key_pem(second.private_key)


@pytest.mark.usefixtures("umask")
def test_modes_whatever_the_umask(tmp_path: Path) -> None:
    """The key is the owner's alone, the certificate everyone's to read."""
    load_or_create_authority(tmp_path / "pki", NOW)
    assert mode(tmp_path / "pki") == 0o700
    assert mode(tmp_path / "pki" / "ca.key") == 0o600
    assert mode(tmp_path / "pki" / "ca.pem") == 0o644
    assert sorted(os.listdir(tmp_path / "pki")) == ["ca.key", "ca.pem"]


def test_key_is_private_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is created new, with mode 0600, even under an umask of nothing."""
    created = []
    real = os.open

    def watched(path: str | Path, flags: int, *more: int) -> int:
        descriptor = real(path, flags, *more)
        if flags & os.O_CREAT:
            created.append((bool(flags & os.O_EXCL), os.fstat(descriptor).st_mode & 0o777))
        return descriptor

    monkeypatch.setattr(os, "open", watched)
    before = os.umask(0)
    try:
        load_or_create_authority(tmp_path / "pki", NOW)
    finally:
        os.umask(before)
    assert created == [(True, 0o600), (True, 0o600)]


def test_daemons_that_start_at_once_share_one_authority(tmp_path: Path) -> None:
    """Whoever comes second loads what the first one made."""
    found: list[str] = []

    def start() -> None:
        found.append(fingerprint(load_or_create_authority(tmp_path / "pki", NOW).certificate))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


OTHER = create_authority(NOW, "Other")
OLD = create_authority(NOW - timedelta(days=4000), "Old")
FUTURE = create_authority(NOW + timedelta(days=2), "Future")
LEAF = issue_leaf(OTHER, name="eia-1", now=NOW)
ED25519_PEM = Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
ENCRYPTED_PEM = OTHER.private_key.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.BestAvailableEncryption(b"password"),
)


def keep(folder: Path, authority: Authority) -> None:
    """Replace what the folder holds by another authority."""
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "ca.key").write_bytes(private_key_pem(authority.private_key))


def keep_leaf(folder: Path) -> None:
    """Replace what the folder holds by a leaf, which may not sign."""
    (folder / "ca.pem").write_bytes(LEAF.certificate_pem)
    (folder / "ca.key").write_bytes(LEAF.private_key_pem)


def replace_by_folder(path: Path) -> None:
    """Put something that cannot be read as a file."""
    path.unlink()
    path.mkdir()


def replace_by_link(path: Path) -> None:
    """Move the file away and link to it."""
    path.rename(path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def replace_by_dangling_link(path: Path) -> None:
    """Link to nothing: there is a name, but no file."""
    path.unlink()
    path.symlink_to(path.with_name("gone"))


def replace_both_by_dangling_links(folder: Path) -> None:
    """Two names without files must not be taken for an empty folder."""
    for name in ("ca.pem", "ca.key"):
        replace_by_dangling_link(folder / name)


def replace_by_pipe(path: Path) -> None:
    """Put a pipe, which would keep a reader waiting."""
    path.unlink()
    os.mkfifo(path, 0o600)


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no certificate": (lambda f: (f / "ca.pem").unlink(), "no readable ca.pem"),
    "no key": (lambda f: (f / "ca.key").unlink(), "no readable ca.key"),
    "certificate is a folder": (lambda f: replace_by_folder(f / "ca.pem"), "no readable ca.pem"),
    "key is a folder": (lambda f: replace_by_folder(f / "ca.key"), "no readable ca.key"),
    "key is a link": (lambda f: replace_by_link(f / "ca.key"), "no readable ca.key"),
    "key is a dangling link": (
        lambda f: replace_by_dangling_link(f / "ca.key"),
        "no readable ca.key",
    ),
    "both are dangling links": (
        replace_both_by_dangling_links,
        "no readable ca.pem",
    ),
    "key is a pipe": (lambda f: replace_by_pipe(f / "ca.key"), "not a regular file"),
    "empty certificate": (lambda f: (f / "ca.pem").write_bytes(b""), "empty"),
    "empty key": (lambda f: (f / "ca.key").write_bytes(b"\n"), "empty"),
    "huge key": (lambda f: (f / "ca.key").write_bytes(b"x" * 70_000), "oversized"),
    "malformed certificate": (lambda f: (f / "ca.pem").write_bytes(b"x"), "malformed ca.pem"),
    "cut certificate": (
        lambda f: (f / "ca.pem").write_bytes((f / "ca.pem").read_bytes()[:200]),
        "malformed ca.pem",
    ),
    "malformed key": (lambda f: (f / "ca.key").write_bytes(b"x"), "malformed ca.key"),
    "encrypted key": (lambda f: (f / "ca.key").write_bytes(ENCRYPTED_PEM), "malformed ca.key"),
    "key of another kind": (lambda f: (f / "ca.key").write_bytes(ED25519_PEM), "another kind"),
    "key of another authority": (
        lambda f: (f / "ca.key").write_bytes(private_key_pem(OTHER.private_key)),
        "do not belong together",
    ),
    "certificate of another authority": (
        lambda f: (f / "ca.pem").write_bytes(OTHER.certificate_pem),
        "do not belong together",
    ),
    "a leaf": (keep_leaf, "may not sign"),
    "expired": (lambda f: keep(f, OLD), "expired"),
    "not valid yet": (lambda f: keep(f, FUTURE), "not valid yet"),
    "key readable by group": (lambda f: (f / "ca.key").chmod(0o640), "other users"),
    "key readable by others": (lambda f: (f / "ca.key").chmod(0o604), "other users"),
    "key executable by others": (lambda f: (f / "ca.key").chmod(0o601), "other users"),
    "certificate writable by others": (lambda f: (f / "ca.pem").chmod(0o646), "other users"),
    "folder writable by others": (lambda f: f.chmod(0o777), "other users"),
}


@pytest.mark.parametrize(("damage", "said"), BREAKS.values(), ids=BREAKS.keys())
def test_damaged_authority_stops_the_start(
    folder: Path, damage: Callable[[Path], object], said: str
) -> None:
    """Each is refused with a message of its own, without a path, and nothing is repaired."""
    damage(folder)
    before = sorted(os.listdir(folder))
    with pytest.raises(ConfigurationError, match=said) as refusal:
        load_or_create_authority(folder, NOW)
    assert str(folder) not in str(refusal.value)
    assert sorted(os.listdir(folder)) == before


def test_replacing_both_files_is_fine(folder: Path) -> None:
    """The damages above are found for what they are, not for having been touched."""
    keep(folder, OTHER)
    found = load_or_create_authority(folder, NOW)
    assert fingerprint(found.certificate) == fingerprint(OTHER.certificate)


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """Errors of the system become errors of ours."""
    (tmp_path / "pki").write_text("")
    with pytest.raises(ConfigurationError):
        load_or_create_authority(tmp_path / "pki", NOW)


def test_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk at the worst moment leaves no half file and no temporary one."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match="No space"):
            load_or_create_authority(tmp_path / "pki", NOW)
    assert os.listdir(tmp_path / "pki") == []
    assert load_or_create_authority(tmp_path / "pki", NOW)


def test_no_authority_is_made_in_1970(tmp_path: Path) -> None:
    """It would have ended by the time that the clock is right, and every client would have it."""
    with pytest.raises(ConfigurationError, match="clock shows 1970-01-01"):
        load_or_create_authority(tmp_path / "pki", datetime(1970, 1, 1, tzinfo=UTC))
    assert not list((tmp_path / "pki").iterdir())
    load_or_create_authority(tmp_path / "pki", NOW)
