"""Revocations that a new process has to be told of: tickets may live that they end. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from accel_daemon.launch_order import Notice
from accel_daemon.supervisor.tenancy import TICKET_SECONDS

# As long as a ticket lives, and what clocks may differ by.
_LIFE_SECONDS = TICKET_SECONDS + 300


class LiveRevocations:
    """What was revoked lately. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def add(self, access_key_ids: Iterable[str], principals: Iterable[str], now: float) -> None:
        """These were revoked."""
        until = now + _LIFE_SECONDS
        self._until.update({("key", key): until for key in access_key_ids})
        self._until.update({("principal", name): until for name in principals})

    def notice(self, now: float) -> Notice | None:
        """What tells of all that still matter; None where none does."""
        self._until = {what: until for what, until in self._until.items() if until > now}
        if not self._until:
            return None
        keys = tuple(name for kind, name in self._until if kind == "key")
        return Notice("revoke", keys, tuple(name for kind, name in self._until if kind != "key"))
