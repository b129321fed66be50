"""Which connections of strangers are closed when there are too many. Pure.

Whoever connects takes one of the connections that a process may have, and a stranger needs no key
for that. So while there is a crowd, the address that has most connections on which nobody has shown
a ticket loses the oldest of them, then the address that has most of the rest, and so on. Who comes
from another address, or has shown a ticket, keeps its own.
"""

from __future__ import annotations

import heapq
import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

_CROWDED, _COMFORTABLE = 0.75, 0.5  # of all connections that there may be
_NETWORK_BITS = 64  # what one host has at least of IPv6


@dataclass(frozen=True)
class Stranger:
    """A connection on which nobody has shown a ticket yet.

    Attributes:
        address, port: of the other side.
        since: when it was first seen, in seconds.
    """

    address: str
    port: int
    since: float


def to_close(strangers: Iterable[Stranger], opened: int, most: int) -> list[Stranger]:
    """Which ones are closed, and in which order; none where there is no crowd.

    Args:
        strangers: those that may be.
        opened: how many connections there are, of strangers and others.
        most: how many there may be.
    """
    if opened <= _CROWDED * most:
        return []
    groups: dict[str, list[Stranger]] = defaultdict(list)
    for one in sorted(strangers, key=lambda one: one.since, reverse=True):
        groups[_network(one.address)].append(one)
    heap = [(-len(group), network) for network, group in groups.items()]
    heapq.heapify(heap)
    chosen: list[Stranger] = []
    while heap and opened - len(chosen) > _COMFORTABLE * most:
        _, network = heapq.heappop(heap)
        chosen.append(groups[network].pop())
        if groups[network]:
            heapq.heappush(heap, (-len(groups[network]), network))
    return chosen


def _network(address: str) -> str:
    """What counts as one address."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS), strict=False))
