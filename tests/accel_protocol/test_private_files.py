"""Files are replaced whole, private from the start, and leave nothing behind when that fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from accel_protocol.private_files import replace_file


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    """Also over a file that had another one."""
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        status = replace_file(path, b"new", mode)
    finally:
        os.umask(before)

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert path.stat().st_ino == status.st_ino


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    """A folder stands where the file should be."""
    (tmp_path / "file").mkdir()

    with pytest.raises(OSError):
        replace_file(tmp_path / "file", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
