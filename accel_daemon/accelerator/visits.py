"""One gRPC call on its way through the gate: who calls, may it, and what the audit log says of it.

A call gives one line. A Run stream gives one for each graph that it uses, one for each call that is
refused, and one when it is ended from outside: lines are for decisions, not for messages.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from accel_daemon.accelerator.gate import PERMISSIONS, RUN_ACTION, Gate
from accel_daemon.accelerator.permissions import call_keys, find_denial, peer_address
from accel_daemon.iam.tickets import Ticket, claimed_access_key_id
from accel_daemon.launch_order import AuditedDecision
from accel_protocol.errors import AcceleratorError, AccessDeniedError, RefusedError

Context = Any  # grpc.aio.ServicerContext, which has no usable types
Audit = Callable[[AuditedDecision], None]


@dataclass
class Doorkeeper:
    """The gate of one accelerator and where its decisions are written.

    Attributes:
        gate: checks tickets and knows the policies.
        accelerator_id: named in refusals.
        audit: takes each decision.
        clock: seconds since the epoch, as the machine's clock shows them: for policies.
        hang_up: ends a connection, by gRPC's name of it.
        meet: told on which connections a good ticket was shown, by gRPC's names of them.
    """

    gate: Gate
    accelerator_id: str
    audit: Audit
    clock: Callable[[], float] = time.time
    hang_up: Callable[[str], object] = lambda peer: None
    meet: Callable[[str], object] = lambda peer: None

    def visit(self, path: str, context: Context) -> Visit:
        """A call of gRPC that begins."""
        metadata = tuple(context.invocation_metadata() or ())
        return Visit(self, path, metadata, context.peer() or "")


@dataclass
class Visit:
    """One call.

    Attributes:
        path: of its method.
        metadata: what the caller sent along.
        peer: gRPC's name of the caller's address.
        request_id: also in the answer.
    """

    door: Doorkeeper
    path: str
    metadata: tuple[tuple[str, str | bytes], ...] = field(repr=False)
    peer: str
    request_id: str = field(default_factory=lambda: secrets.token_hex(8))
    _ticket: Ticket | None = None
    _graphs: set[bytes] = field(default_factory=set)

    @property
    def action(self) -> str:
        """As policies name it; "" for what there is not."""
        return PERMISSIONS.get(self.path) or ""

    def identify(self) -> Ticket | None:
        """The caller's ticket, before what it asks for is known; None where none is asked for.

        Raises:
            AcceleratorError: see Gate.admit.
        """
        ticket = self.door.gate.admit(self.path, self.metadata)
        if ticket is not None:
            self.door.meet(self.peer)
        return ticket

    async def admit(self, graph_id: bytes | None = None) -> Ticket | None:
        """The caller's ticket, once it may do this; None where none is asked for.

        What is run is decided call by call, see `check_run`.

        Raises:
            AcceleratorError: see Gate.admit, PolicyTable.wait_for and `_check`.
        """
        ticket = self.identify()
        if ticket is not None:
            await self.door.gate.policies.wait_for(ticket)
            if self.action != RUN_ACTION:
                self._check(ticket, graph_id)
                self._note(ticket.principal, True, "No policy denies it.", graph_id)
        self._ticket = ticket
        return ticket

    def check_run(self, graph_id: bytes) -> None:
        """Check one call of an admitted Run stream.

        Raises:
            AcceleratorError: it is refused, which is audited; the stream goes on.
        """
        assert self._ticket is not None
        try:
            self._check(self._ticket, graph_id)
        except RefusedError as error:
            self._note(self._ticket.principal, False, _reason(error), graph_id)
            raise
        if graph_id not in self._graphs:
            self._graphs.add(graph_id)
            self._note(self._ticket.principal, True, "No policy denies it.", graph_id)

    def may_run_again(self, graph_id: bytes) -> bool:
        """Whether one more call of a graph needs no decision: it was allowed, and no policy asks.

        On any thread; False where `check_run` has to be asked.
        """
        if graph_id not in self._graphs or self._ticket is None:
            return False
        try:
            known = self.door.gate.policies.find(self._ticket)
        except RefusedError:
            return False
        return known is not None and not known.may_deny(self.action)

    def refused(self, error: AcceleratorError) -> None:
        """Audit what ended the call, unless its one line is written already."""
        if self._ticket is None:
            self._note(self._who(), False, _reason(error), None)
        elif self.action == RUN_ACTION and isinstance(error, RefusedError):
            self._note(self._ticket.principal, False, _reason(error), None)

    def _check(self, ticket: Ticket, graph_id: bytes | None) -> None:
        """Ask the policies.

        Raises:
            AccessDeniedError: they deny it.
            CredentialsError: they do not even allow Connect any more.
        """
        known = self.door.gate.policies.find(ticket)
        if known is not None and not known.may_deny(self.action):
            return
        why: str | None = "The policies are not known any more."
        if known is not None:
            keys = call_keys(self.door.clock(), peer_address(self.peer), graph_id)
            why = find_denial(known, self.action, keys)
        if why is not None:
            denied = AccessDeniedError(
                f"{ticket.principal} is not allowed to do {self.action} "
                f"on {self.door.accelerator_id}.",
                fields={"action": self.action, "accelerator": self.door.accelerator_id},
            )
            denied.add_note(why)  # for the audit log; callers do not learn how policies are written
            raise denied

    def _who(self) -> str:
        """For a call that was not admitted: whose ticket it proved to be, or claims to be."""
        try:
            ticket = self.identify()
        except AcceleratorError:
            return claimed_access_key_id(_authorization(self.metadata))
        return "" if ticket is None else ticket.principal

    def _note(self, who: str, allowed: bool, reason: str, graph_id: bytes | None) -> None:
        graph = "" if graph_id is None else graph_id[:32].hex()
        decision = AuditedDecision(who, self.action, allowed, reason, self.request_id, graph)
        self.door.audit(decision)


def _reason(error: AcceleratorError) -> str:
    return ": ".join([error.reason, *getattr(error, "__notes__", ())])


def _authorization(metadata: tuple[tuple[str, str | bytes], ...]) -> str:
    value = next((value for key, value in metadata if key == "authorization"), "")
    return value.removeprefix("Bearer ") if isinstance(value, str) else ""
