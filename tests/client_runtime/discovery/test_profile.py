"""The two profiles of a home."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery.profile import (
    ATTACHED_NAME,
    DAEMONS_NAME,
    Profile,
    authority_file,
    home,
    read_profile,
    remove_attached,
    write_attached,
)

PIN = "sha256:" + "0f" * 32
SECRET = "t" * 40


def profile() -> Profile:
    """One as `accel attach` makes it."""
    return Profile("https://h:1", str(authority_file(PIN)), "us-east-1", "AKIA" + "T" * 16, SECRET)


def test_written_is_read(nowhere: Path) -> None:
    """And private, the folder too; what the daemon wrote stays."""
    nowhere.mkdir()
    (nowhere / DAEMONS_NAME).write_text("the daemon's")
    path = write_attached(profile(), b"PEM")
    assert read_profile(ATTACHED_NAME) == profile()
    assert Path(profile().ca_file).read_bytes() == b"PEM"
    for private in (path, Path(profile().ca_file)):
        assert private.stat().st_mode & 0o077 == 0
    assert (nowhere / DAEMONS_NAME).read_text() == "the daemon's"
    assert sorted(one.name for one in nowhere.iterdir()) == [
        ATTACHED_NAME, "authorities", DAEMONS_NAME,
    ]  # fmt: skip


def test_a_new_home_is_private(nowhere: Path) -> None:
    """It is made when something is kept in it."""
    write_attached(profile(), b"PEM")
    assert nowhere.stat().st_mode & 0o077 == 0


def test_attached_again(nowhere: Path) -> None:
    """The newer one replaces the older one."""
    write_attached(profile(), b"PEM")
    other = Profile("https://h:2", str(authority_file(PIN)), "us-east-1", "A" * 16, "s" * 40)
    write_attached(other, b"PEM")
    assert read_profile(ATTACHED_NAME) == other


def test_removed(nowhere: Path) -> None:
    """With the certificate that was kept for it; a second time there is nothing to remove."""
    write_attached(profile(), b"PEM")
    assert remove_attached()
    assert read_profile(ATTACHED_NAME) is None
    assert not Path(profile().ca_file).exists()
    assert not remove_attached()


def test_a_broken_one_can_be_removed(nowhere: Path) -> None:
    """Which is what its error advises."""
    nowhere.mkdir()
    (nowhere / ATTACHED_NAME).write_text("{")
    with pytest.raises(ConfigurationError) as caught:
        read_profile(ATTACHED_NAME)
    assert "--detach" in caught.value.remedy
    assert remove_attached()


def test_a_foreign_ca_file_is_not_removed(nowhere: Path, tmp_path: Path) -> None:
    """Only what attaching wrote."""
    mine = tmp_path / "mine.pem"
    mine.write_text("PEM")
    nowhere.mkdir()
    document = {"control": "https://h:1", "ca_file": str(mine), "region": "us-east-1"}
    (nowhere / ATTACHED_NAME).write_text(json.dumps(document))
    assert remove_attached()
    assert mine.exists()


def test_a_profile_without_a_key(nowhere: Path) -> None:
    """A daemon whose administrator was removed writes one; half a key is refused."""
    nowhere.mkdir()
    document = {"control": "https://h:1", "ca_file": "/ca.pem", "region": "us-east-1"}
    (nowhere / DAEMONS_NAME).write_text(json.dumps(document))
    found = read_profile(DAEMONS_NAME)
    assert found is not None
    assert found.access_key_id is None
    (nowhere / DAEMONS_NAME).write_text(json.dumps({**document, "access_key_id": "AKIA"}))
    with pytest.raises(ConfigurationError, match="not complete"):
        read_profile(DAEMONS_NAME)


def test_a_home_that_cannot_be_written(nowhere: Path) -> None:
    """Said with its path."""
    nowhere.write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_attached(profile(), b"PEM")


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` is this account's, as the daemon reads it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, path in (("", ".accel"), ("~/other", "other")):
        monkeypatch.setenv("ACCEL_HOME", value)
        assert home() == tmp_path / path


def test_secret_is_not_shown() -> None:
    """A profile may end up in a log."""
    assert SECRET not in repr(profile())
