"""How many calls there may be that nobody has to prove anything for. Pure.

Health is public, and a call costs memory for as long as it is open. So they are counted: for each
connection, for each address, so that one stranger cannot keep load balancers out, and altogether.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from accel_protocol.errors import BusyError

MOST = 256
MOST_OF_ADDRESS = 64
MOST_OF_CONNECTION = 8
# Nobody waits longer for a stranger's request, or for a stranger to read.
STRANGER_SECONDS = 10.0
# Then whoever watches has to come again.
WATCH_SECONDS = 600.0


class PublicCalls:
    """Counts the open ones. Belongs to one event loop."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open[""]

    @contextmanager
    def entered(self, peer: str) -> Iterator[None]:
        """Count a call while it is open.

        Args:
            peer: gRPC's name of the caller's connection, as "ipv4:192.0.2.1:5000".

        Raises:
            BusyError: there are too many already.
        """
        address, _, _ = peer.rpartition(":")
        bounds = {"": MOST, address: MOST_OF_ADDRESS, peer: MOST_OF_CONNECTION}
        for name, most in bounds.items():
            if self._open[name] >= most:
                raise BusyError(
                    "Too many calls without a ticket are open.", fields={"retry_after_ms": "1000"}
                )
        self._open.update(bounds.keys())
        try:
            yield
        finally:
            self._open.subtract(bounds.keys())
            self._open += Counter()  # forgets those that have none
