"""The connections that a listening process has, found among its own descriptors.

gRPC bounds how many there are, and does not let anyone choose between them. But it takes notice
when a connection of its own is shut down.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable, Iterator

from accel_daemon.accelerator.crowding import Stranger, to_close
from accel_daemon.accelerator.permissions import peer_address

# The lowest free number becomes the next descriptor: those of connections are hardly above what
# there may be of them. A process in the sandbox cannot list its own.
_OTHER_DESCRIPTORS = 1024
_SAMPLE = 16  # every so many descriptors tell whether it is worth looking at all
Name = tuple[str, int]  # address and port of the other side


class Connections:
    """Closes strangers' connections when there are too many.

    Args:
        port: where this process listens.
        most: how many connections it may have.
        clock: seconds.
    """

    def __init__(self, port: int, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._port, self._most, self._clock = port, most, clock
        self._descriptors = range(most + _OTHER_DESCRIPTORS)
        self._known: set[str] = set()
        self._since: dict[Name, float] = {}

    def meet(self, peer: str) -> None:
        """A ticket was shown on this connection, by gRPC's name of it."""
        self._known.add(peer)

    def hang_up(self, peer: str) -> None:
        """End a connection, by gRPC's name of it."""
        name = _name(peer)
        for other, descriptor in _connections(self._port, self._descriptors):
            if other == name:
                _shut_down(descriptor, name)

    def sweep(self) -> int:
        """Close what is to be closed now; answers how many. May be called on any thread."""
        known = self._known.copy()
        sampled = _SAMPLE * sum(map(_is_open, self._descriptors[::_SAMPLE]))
        if 2 * sampled < self._most and len(known) < 2 * self._most:
            return 0
        opened = dict(_connections(self._port, self._descriptors))
        names = {peer: _name(peer) for peer in known}
        self._known -= {peer for peer, name in names.items() if name not in opened}
        now = self._clock()
        self._since = {name: self._since.get(name, now) for name in opened}
        friends = set(names.values())
        strangers = [Stranger(*name, self._since[name]) for name in opened if name not in friends]
        chosen = to_close(strangers, len(opened), self._most)
        for one in chosen:
            _shut_down(opened[one.address, one.port], (one.address, one.port))
        return len(chosen)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _connections(port: int, descriptors: Iterable[int]) -> Iterator[tuple[Name, int]]:
    """The other side of each connection to a port of ours, and its descriptor."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError), _socket(descriptor) as connection:
            if connection.getsockname()[1] == port:
                yield _plain(connection.getpeername()), descriptor


def _shut_down(descriptor: int, name: Name) -> None:
    """Shut a connection down, unless its descriptor means another one by now."""
    with contextlib.suppress(OSError), _socket(descriptor) as connection:
        if _plain(connection.getpeername()) == name:
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _socket(descriptor: int) -> Iterator[socket.socket]:
    """A socket of the internet by its descriptor, which stays open.

    Raises:
        OSError: it is none.
    """
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        raise OSError("no socket")
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            raise OSError("no connection")
        yield connection


def _plain(name: tuple[str, int] | tuple[str, int, int, int]) -> Name:
    """Address and port, an IPv4 address as such."""
    address = ipaddress.ip_address(name[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), name[1]


def _name(peer: str) -> Name | None:
    """What gRPC names "ipv4:HOST:PORT"."""
    address, port = peer_address(peer), peer.rpartition(":")[2]
    return None if address is None or not port.isdecimal() else (address, int(port))
