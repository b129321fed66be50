"""Where things lie, and that they are private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from accel_daemon.home import Home, make_private_folder, write_private_file
from accel_protocol.errors import ConfigurationError


def test_home_from_environment(tmp_path: Path) -> None:
    """$ACCEL_HOME, else a folder in the user's home; always absolute."""
    assert Home.from_environment({"ACCEL_HOME": str(tmp_path)}).root == tmp_path
    assert Home.from_environment({"ACCEL_HOME": ""}).root == Path.home() / ".accel"
    assert Home.from_environment({}).root == Path.home() / ".accel"
    assert Home.from_environment({"ACCEL_HOME": "here"}).root == Path("here").absolute()


def test_private_folder(tmp_path: Path) -> None:
    """Every folder that had to be made is for this user alone."""
    make_private_folder(tmp_path / "a" / "b")
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_folder_that_others_can_change(tmp_path: Path) -> None:
    """Refused rather than trusted."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="other users"):
        make_private_folder(tmp_path)


def test_private_file_replaces_a_readable_one(tmp_path: Path) -> None:
    """The old file's mode does not matter, and nothing is left beside the new one."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o666)
    write_private_file(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """An error of the settings."""
    with pytest.raises(ConfigurationError):
        write_private_file(tmp_path / "nowhere" / "file", b"")
