"""What both sides of a lane agree on: names, and who is on the other side of a local one."""

from __future__ import annotations

import re
import socket
import struct

LANE_VERSION = 1
# Field of the error with which a lane ends: the call that may have begun. Without it none has.
INTERRUPTED_CALL = "interrupted_call"
TLS_PROTOCOL = "accel-run/1"
# In the order in which a client tries them.
KINDS = ("local", "tls", "grpc")
# So that a piece is written at once while the one before is read.
LOCAL_BUFFER_BYTES = 4 * 1024 * 1024
_LOCAL_NAME = re.compile(r"accel-lane-[0-9a-f]{32}", re.ASCII)
_CREDENTIALS = struct.Struct("3i")


def is_local_name(name: str) -> bool:
    """Whether a name is one of a local lane: a client connects to nothing else."""
    return _LOCAL_NAME.fullmatch(name) is not None


def local_address(name: str) -> bytes:
    """The address of a local lane: a socket of Linux without a file, which only this host knows."""
    return b"\0" + name.encode()


def user_of(connection: socket.socket) -> int:
    """The user on the other side of a local socket; of one that listens, the one who began to.

    Raises:
        OSError: it is none, or this is not Linux.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise OSError("this system does not tell")
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])
