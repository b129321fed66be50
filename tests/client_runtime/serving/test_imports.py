"""Which rooms of the server know of which, and what modules that only decide may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

SERVING = ROOT / "client_runtime" / "serving"
MODULES = sorted(SERVING.rglob("*.py"))
PREFIX = "client_runtime.serving."
# What every room may know.
SHARED = {"events", "request_ids", "rereading", "servable", "statuses", "text_files"}
# The other rooms that a room knows; whatever is in none of them joins them, and knows all.
ROOMS: dict[str, set[str]] = {
    "access": set(),
    "doors": {"access", "flags"},
    "flags": set(),
    "inference": set(),
    "models": set(),
    "rest": {"access"},
    "telemetry": set(),
}
# What is no decision: the network, other processes, and the models' framework.
DOING = {"aiohttp", "asyncio", "grpc", "socket", "ssl", "subprocess", "tempfile", "tensorflow"}


def imported(path: Path) -> Iterator[str]:
    """What a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_pure(path: Path) -> bool:
    """Whether a module says of itself that it only decides."""
    words = (ast.get_docstring(ast.parse(path.read_text())) or "").split()
    return bool(words) and "Pure" in words[-1]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_few_others(room: str) -> None:
    """So that each can be read, and tried, by itself."""
    known = SHARED | ROOMS[room] | {room}
    for path in (SERVING / room).rglob("*.py"):
        names = {name.removeprefix(PREFIX) for name in imported(path) if name.startswith(PREFIX)}
        assert {name.partition(".")[0] for name in names} <= known, path


def test_every_folder_is_one_of_the_rooms() -> None:
    """With its purpose in its first lines."""
    folders = {path.parent for path in SERVING.glob("*/__init__.py")}
    assert {folder.name for folder in folders} == set(ROOMS)
    assert all(ast.get_docstring(ast.parse((one / "__init__.py").read_text())) for one in folders)


def test_the_server_has_no_framework_and_no_daemon() -> None:
    """Of its own; the local predictor brings TensorFlow where models are to run in this process."""
    for path in MODULES:
        firsts = {name.partition(".")[0] for name in imported(path)}
        assert not firsts & {"accel_daemon", "keras", "tensorflow", "tf_keras"}, path


def test_what_decides_does_nothing() -> None:
    """Modules that call themselves pure."""
    pure = [path for path in MODULES if is_pure(path)]
    assert len(pure) > 40
    for path in pure:
        assert not {name.partition(".")[0] for name in imported(path)} & DOING, path
