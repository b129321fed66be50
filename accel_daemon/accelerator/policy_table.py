"""The policies of those who hold tickets of this accelerator, as the supervisor tells them.

A ticket names the version of the policies it was issued under. The supervisor writes that version
to this process before it answers Connect, but nothing guarantees that it is read before the ticket
is used; so a call waits for it for a moment, and is never let through without it.
"""

from __future__ import annotations

import asyncio

from accel_daemon.accelerator.permissions import Understood, understand
from accel_daemon.iam.tickets import Ticket
from accel_daemon.launch_order import HolderPolicies
from accel_protocol.errors import BusyError, CredentialsError

WAIT_SECONDS = 2.0
MAX_HOLDERS = 1024


class PolicyTable:
    """The newest policies by principal and access key.

    Args:
        actions: those that may be asked about.
        wait_seconds: how long a call waits for policies that are on their way.
    """

    def __init__(self, actions: frozenset[str], wait_seconds: float = WAIT_SECONDS) -> None:
        self._actions, self._wait_seconds = actions, wait_seconds
        self._known: dict[tuple[str, str], Understood] = {}
        self._arrivals = asyncio.Condition()

    def tell(self, holder: HolderPolicies) -> None:
        """Take what the supervisor says; something older than what is known changes nothing."""
        key = (holder.principal.arn, holder.access_key_id)
        known = self._known.get(key)
        if known is not None and known.holder.version > holder.version:
            return
        self._known.pop(key, None)
        while len(self._known) >= MAX_HOLDERS:
            self._known.pop(next(iter(self._known)))
        self._known[key] = understand(holder, self._actions)

    async def told(self, holder: HolderPolicies) -> None:
        """`tell`, and wake the calls that wait."""
        self.tell(holder)
        async with self._arrivals:
            self._arrivals.notify_all()

    def find(self, ticket: Ticket) -> Understood | None:
        """The policies for a ticket; None when the version it names is not here.

        Raises:
            CredentialsError: they do not allow Connect any more (TICKET_REVOKED).
        """
        known = self._known.get((ticket.principal, ticket.access_key_id))
        if known is None or known.holder.version < ticket.policies:
            return None
        if ticket.policies <= known.holder.ended:
            raise CredentialsError(
                "The policies do not allow this any more.", reason="TICKET_REVOKED"
            )
        return known

    async def wait_for(self, ticket: Ticket) -> Understood:
        """The policies for a ticket, waited for if need be.

        Raises:
            BusyError: they did not arrive in time; a new ticket, or the same one later, may work.
            CredentialsError: see `find`.
        """
        found = self.find(ticket)
        if found is not None:
            return found
        try:
            async with asyncio.timeout(self._wait_seconds), self._arrivals:
                while (found := self.find(ticket)) is None:
                    await self._arrivals.wait()
                return found
        except TimeoutError:
            raise BusyError(
                "The accelerator does not know yet what limits this ticket.",
                remedy="Try again after the hinted delay, or connect again.",
                fields={"retry_after_ms": "500"},
            ) from None
