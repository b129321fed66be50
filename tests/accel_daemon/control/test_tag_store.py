"""The file of the tags."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from accel_daemon.control.tag_store import TagStore
from accel_protocol.errors import ConfigurationError, InternalError


def test_tags_outlive_the_store(tmp_path: Path) -> None:
    """Another store with the same file has them; the file is its owner's alone."""
    path = tmp_path / "tags.json"
    TagStore(path).replace("eia-1", {"a": "ü"})
    TagStore(path).replace("eia-2", {"b": ""})
    assert TagStore(path).get("eia-1") == {"a": "ü"}
    assert TagStore(path).get("eia-2") == {"b": ""}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_tags_leave_nothing(tmp_path: Path) -> None:
    """An accelerator without tags is not in the file."""
    store = TagStore(tmp_path / "tags.json")
    store.replace("eia-1", {"a": "1"})
    store.replace("eia-1", {})
    assert store.get("eia-1") == {}
    assert "eia-1" not in (tmp_path / "tags.json").read_text()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"version": 2, "tags": {}}',
        b'{"version": 1}',
        b'{"version": 1, "tags": {"eia-1": []}}',
        b'{"version": 1, "tags": {"eia-1": {"a": 1}}}',
    ],
)
def test_file_that_is_not_ours(tmp_path: Path, content: bytes) -> None:
    """The daemon does not start and forget the tags, it says what is wrong."""
    path = tmp_path / "tags.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="The file of the tags"):
        TagStore(path)


def test_link_in_the_files_place(tmp_path: Path) -> None:
    """Is not followed."""
    (tmp_path / "elsewhere").write_text('{"version": 1, "tags": {}}')
    (tmp_path / "tags.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError):
        TagStore(tmp_path / "tags.json")


def test_tags_that_cannot_be_kept_are_not_given(tmp_path: Path) -> None:
    """A caller is told, and what was there stays."""
    folder = tmp_path / "folder"
    folder.mkdir()
    store = TagStore(folder / "tags.json")
    store.replace("eia-1", {"a": "1"})
    (folder / "tags.json").unlink()
    folder.rmdir()
    with pytest.raises(InternalError):
        store.replace("eia-1", {"a": "2"})
    assert store.get("eia-1") == {"a": "1"}
