"""Ports that nobody's outgoing connection takes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from accel_daemon.supervisor.lasting_ports import lasting_port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_below_those_of_outgoing_connections(tmp_path: Path, host: str) -> None:
    """In the range that is left, and one that can be listened on."""
    told = tmp_path / "range"
    told.write_text("32768\t60999\n")

    port = lasting_port(host, told)

    assert 10_000 <= port < 32_768
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_in_use_is_passed_over(tmp_path: Path) -> None:
    """Where the only candidate is taken, the system is left to choose."""
    told = tmp_path / "range"
    told.write_text("10001 60999")
    try:
        taken = socket.create_server(("127.0.0.1", 10_000))
    except OSError:
        pytest.skip("something else has this port")

    with taken:
        assert lasting_port("127.0.0.1", told) == 0


@pytest.mark.parametrize("text", ["", "many few", "1024 65535"])
def test_where_it_cannot_be_told(tmp_path: Path, text: str) -> None:
    """Other systems, and ranges that leave nothing."""
    told = tmp_path / "range"
    told.write_text(text)

    assert lasting_port("127.0.0.1", told) == 0
    assert lasting_port("127.0.0.1", tmp_path / "nothing") == 0
