"""The file of API keys: keys come and go without a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_runtime.serving.access.guard import Guard
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.events import Event, RequestRefused
from client_runtime.serving.servable import Caller
from client_runtime.serving.statuses import ServingError


def lines(*names: str) -> str:
    """A file with keys of these names."""
    return "".join(f"{name} sha256:{number:064x} *\n" for number, name in enumerate(names))


def names(keys: KeyFile) -> list[str]:
    """Of the keys as they are now."""
    return [key.name for key in keys.current()]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also when it was replaced; a broken one leaves the keys as they were."""
    path = tmp_path / "keys"
    path.write_text(lines("a"))
    keys = KeyFile(str(path))
    assert names(keys) == ["a"]

    path.write_text(lines("a", "b"))
    assert names(keys) == ["a", "b"]

    path.write_text("nonsense")
    assert names(keys) == ["a", "b"]

    fresh = tmp_path / "fresh"
    fresh.write_text(lines("c"))
    fresh.rename(path)
    assert names(keys) == ["c"]

    path.unlink()
    assert names(keys) == ["c"]


@pytest.mark.parametrize("fault", ["missing", "writable", "malformed", "no text"])
def test_the_server_does_not_start_with_a_file_it_cannot_trust(tmp_path: Path, fault: str) -> None:
    """Whoever can write it can let anyone in."""
    path = tmp_path / "keys"
    if fault != "missing":
        path.write_bytes({"malformed": b"x", "no text": b"\xff"}.get(fault, lines("a").encode()))
        path.chmod(0o666 if fault == "writable" else 0o600)

    with pytest.raises(ServingError, match=str(path)):
        KeyFile(str(path))


def test_refusals_are_told(tmp_path: Path) -> None:
    """With who called, and the name of the key where it has one."""
    path = tmp_path / "keys"
    digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"  # of "key"
    path.write_text(f"someone sha256:{digest} m")
    told: list[Event] = []
    caller = Caller(door="REST", peer="10.0.0.7")
    guard = Guard(KeyFile(str(path)), told.append)

    guard.admit({"x-api-key": "key"}.get, ["m"], caller)
    for headers in ({}, {"x-api-key": "key"}):
        with pytest.raises(ServingError):
            guard.admit(headers.get, ["n"], caller)

    assert [
        (one.caller, one.key, one.status.name) for one in told if isinstance(one, RequestRefused)
    ] == [
        (caller, "", "UNAUTHENTICATED"),
        (caller, "someone", "PERMISSION_DENIED"),
    ]
