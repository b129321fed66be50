"""What a call costs in counts, which are the same on every machine.

Bytes on the wire are the kernel's own: what this process's TCP connections have sent and received,
TLS and HTTP/2 included. What a call holds is the most that Python had allocated at one time during
it, beyond what it had before: an eager copy of the feeds would show as their size.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

# Of the kernel's struct tcp_info: where 64 bits of acknowledged and of received bytes are.
_ACKED, _RECEIVED, _INFO_BYTES = 120, 128, 136


@dataclass(frozen=True)
class Counts:
    """One warm call, on average.

    Attributes:
        sent, received: bytes on the wire.
        payload: bytes of its feeds.
        held: the most bytes that Python held at one time for one of the calls.
    """

    sent: float
    received: float
    payload: int
    held: int

    def as_document(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def count(call: Callable[[], object], calls: int, payload: int) -> Counts:
    """Make so many calls, after one that does not count."""
    call()
    sent, received = wire_bytes()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(calls):
            call()
        held = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    sent_after, received_after = wire_bytes()
    return Counts((sent_after - sent) / calls, (received_after - received) / calls, payload, held)


def wire_bytes() -> tuple[int, int]:
    """Bytes sent and acknowledged, and received, by all TCP connections of this process."""
    both = [_tcp_bytes(one) for one in _connections()]
    return sum(sent for sent, _ in both), sum(received for _, received in both)


def _connections() -> Iterator[socket.socket]:
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.type == socket.SOCK_STREAM and one.family != socket.AF_UNIX:
                    one.getpeername()
                    yield one


def _tcp_bytes(one: socket.socket) -> tuple[int, int]:
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    if len(info) < _INFO_BYTES:
        raise OSError("this kernel does not count bytes by connection")
    (sent,) = struct.unpack_from("=Q", info, _ACKED)
    (received,) = struct.unpack_from("=Q", info, _RECEIVED)
    return sent, received
