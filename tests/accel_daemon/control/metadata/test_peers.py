"""Whose process is at the other end."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.peers import TABLES, may_have_credentials, user_of_peer

PEER, HERE = ("127.0.0.1", 0xA0B1), ("127.0.0.1", 8080)
LITTLE = sys.byteorder == "little"
LOOPBACK = "0100007F" if LITTLE else "7F000001"
MAPPED = "0" * 16 + ("FFFF0000" if LITTLE else "0000FFFF") + LOOPBACK
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def row(local: str, remote: str, state: str = "01", user: str = "1000") -> str:
    """A line as the kernel prints it."""
    return f"   3: {local} {remote} {state} 00000000:00000000 00:00000000 00000000  {user}  0 7 1\n"


THEIRS = row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F90")
OURS = row(f"{LOOPBACK}:1F90", f"{LOOPBACK}:A0B1", user="7")


@pytest.mark.parametrize(
    ("tables", "user"),
    [
        ([HEAD + THEIRS], 1000),
        ([HEAD + OURS + THEIRS], 1000),
        ([HEAD, HEAD + row(f"{MAPPED}:A0B1", f"{MAPPED}:1F90", user="5")], 5),
        ([HEAD + OURS], None),
        ([HEAD + row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F91")], None),
        ([HEAD + row(f"{LOOPBACK}:A0B2", f"{LOOPBACK}:1F90")], None),
        ([HEAD + row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F90", state="06", user="0")], None),
        ([HEAD + row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F90", state="05", user="0")], None),
        ([HEAD + row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F90", user="x")], None),
        ([HEAD + row(f"{LOOPBACK}:A0B1", f"{LOOPBACK}:1F90", user="9" * 5000)], None),
        ([HEAD + "   3: cut off\n"], None),
        ([""], None),
        ([], None),
    ],
)
def test_user(tables: list[str], user: int | None) -> None:
    """The other end's line, established; what a closed socket left behind is listed as root's."""
    assert user_of_peer(tables, PEER, HERE) == user


@given(st.lists(st.text(), max_size=3))
def test_any_table(tables: list[str]) -> None:
    """Whatever stands there, nobody is found in it who is not."""
    assert user_of_peer(tables, PEER, HERE) is None


@pytest.mark.skipif(not Path(TABLES[0]).exists(), reason="not Linux")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_real_tables(family: socket.AddressFamily) -> None:
    """This process's own connection is found as this user's, through either kind of socket."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(family) as client:
        port = server.getsockname()[1]
        try:
            client.connect(("127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1", port))
        except OSError:
            pytest.skip("no IPv6 here")
        accepted, peer = server.accept()
        with accepted:
            tables = [Path(name).read_text() for name in TABLES if Path(name).exists()]
            assert user_of_peer(tables, peer, accepted.getsockname()) == os.getuid()


@pytest.mark.parametrize(
    ("users", "own", "peer", "may"),
    [
        ("own", 1000, 1000, True),
        ("own", 1000, 0, True),
        ("own", 1000, 1001, False),
        ("own", 1000, None, False),
        ("own", 0, 1000, False),
        ("all", 1000, 1001, True),
        ("all", 1000, None, True),
    ],
)
def test_who_may(users: str, own: int, peer: int | None, may: bool) -> None:
    """The daemon's user and root; others only when the operator says so."""
    assert may_have_credentials(users, own, peer) == may
