"""Lanes on one host are for the daemon's own user, on both sides."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from accel_daemon.accelerator.lanes.local_handshake import LocalHandshake
from accel_protocol import lanes
from accel_protocol.limits import DEFAULT_LIMITS
from client_runtime.transport import socket_lane
from client_runtime.transport.socket_lane import NoLaneError
from tests.accel_daemon.accelerator.served_accelerator import served


def test_another_user_is_refused() -> None:
    """The kernel says who it is; here it is oneself, who is not that user."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert LocalHandshake(os.geteuid()).prepare(ours) is ours
        with pytest.raises(PermissionError):
            LocalHandshake(os.geteuid() + 1).prepare(ours)


def test_another_users_socket_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client shows its ticket to its own user's daemon only."""
    with served(tmp_path, DEFAULT_LIMITS) as accelerator:
        monkeypatch.setattr(socket_lane, "user_of", lambda _: os.geteuid() + 1)
        with pytest.raises(NoLaneError, match="another user"):
            accelerator.lane(kind="local")


@pytest.mark.parametrize(
    "name", ["", "accel-lane-", "/tmp/x", "accel-lane-" + "g" * 32, "accel-lane-" + "a" * 33]
)
def test_other_names_are_not_connected_to(tmp_path: Path, name: str) -> None:
    """An endpoint cannot send its clients to whatever else listens on their host."""
    with (
        served(tmp_path, DEFAULT_LIMITS) as accelerator,
        socket.socket(socket.AF_UNIX) as trap,
    ):
        if name and "/" not in name:
            trap.bind(lanes.local_address(name))
            trap.listen()
        with pytest.raises(NoLaneError, match="no such name"):
            socket_lane.open_local_lane(replace(accelerator.grant(), local_lane=name))


def test_name_that_nobody_has(tmp_path: Path) -> None:
    """Of an accelerator on another host: there is no such lane, which is known at once."""
    with served(tmp_path, DEFAULT_LIMITS) as accelerator:
        grant = replace(accelerator.grant(), local_lane="accel-lane-" + "0" * 32)
        with pytest.raises(NoLaneError):
            socket_lane.open_local_lane(grant)
