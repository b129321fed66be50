"""The file of the key that seals session tokens."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accel_daemon.iam.principals import Identities, User, new_access_key
from accel_daemon.supervisor.session_key import load_or_create_session_key
from accel_protocol.errors import ConfigurationError

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_sessions_outlive_a_restart(tmp_path: Path) -> None:
    """The file is private, and a second start opens what the first one sealed."""
    path, key = tmp_path / "session.key", new_access_key(NOW.isoformat())
    identities = Identities(users=(User("ann", keys=(key,)),))
    issued = load_or_create_session_key(path).issue_to_user("ann", key.access_key_id, NOW, 900)
    assert path.stat().st_mode & 0o777 == 0o600
    again = load_or_create_session_key(path)
    assert again.open(issued.access_key_id, issued.session_token, NOW, identities).user == "ann"


def test_removing_the_file_ends_sessions(tmp_path: Path) -> None:
    """Another key opens nothing."""
    path = tmp_path / "session.key"
    issued = load_or_create_session_key(path).issue_to_user("ann", "AKIA" + "A" * 16, NOW, 900)
    path.unlink()
    again = load_or_create_session_key(path)
    assert again.unseal(issued.access_key_id, issued.session_token) is None


@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 33])
def test_damaged_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """It is not silently replaced, which would hide what happened."""
    path = tmp_path / "session.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        load_or_create_session_key(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_file_that_others_can_read_stops_the_start(tmp_path: Path, mode: int) -> None:
    """Whoever read it could become anyone."""
    path = tmp_path / "session.key"
    load_or_create_session_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError):
        load_or_create_session_key(path)


def test_what_is_no_file_stops_the_start(tmp_path: Path) -> None:
    """A link, a pipe or a folder in its place is not followed, and not waited for."""
    good = tmp_path / "good"
    load_or_create_session_key(good)
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "dangling", "folder", "pipe"):
        with pytest.raises(ConfigurationError):
            load_or_create_session_key(tmp_path / name)
