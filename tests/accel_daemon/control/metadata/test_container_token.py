"""The file with the containers' token."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_daemon.control.metadata.container_token import load_or_create_token
from accel_protocol.errors import ConfigurationError


def test_stays(tmp_path: Path) -> None:
    """Made once, for its owner only, without a line end."""
    path = tmp_path / "token"
    token = load_or_create_token(path)
    assert load_or_create_token(path) == token == path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 43 + b"\n", b"\xff" * 43, b"x" * 44])
def test_damaged(tmp_path: Path, content: bytes) -> None:
    """What is no token is replaced by one."""
    path = tmp_path / "token"
    path.write_bytes(content)
    assert load_or_create_token(path).encode() != content


def test_no_folder(tmp_path: Path) -> None:
    """An error of ours."""
    with pytest.raises(ConfigurationError):
        load_or_create_token(tmp_path / "nothing" / "token")
