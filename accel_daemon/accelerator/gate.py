"""The one gate in front of every gRPC method: is there a ticket, and is it good for this?

`PERMISSIONS` names every method this process serves, and its action. A method without an entry is
refused, and a test holds the table against what the server really serves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from accel_daemon.accelerator.policy_table import PolicyTable
from accel_daemon.iam.tickets import Ticket, TicketVerifier
from accel_daemon.launch_order import HolderPolicies
from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
    VersionError,
)
from accel_protocol.limits import Limits
from accel_protocol.methods import METHODS

_KEPT_TICKETS = 256
_BEARER = "Bearer "
# How late an open stream's end may be on a machine that slept.
_LOOK_SECONDS = 2.0

_REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

PUBLIC = None
RUN_ACTION = "elastic-inference:Run"

# What asks for a ticket, by the action that a Deny may name.
_ACTIONS = {
    "GetCapabilities": "elastic-inference:GetCapabilities",
    "FindMissing": "elastic-inference:FindMissing",
    "Upload": "elastic-inference:UploadGraph",
    "Load": "elastic-inference:LoadGraph",
    "Run": RUN_ACTION,
    "Unload": "elastic-inference:Unload",
    "List": "elastic-inference:ListGraphs",
}

PERMISSIONS: Mapping[str, str | None] = {
    **{METHODS[name].path: action for name, action in _ACTIONS.items()},
    **{f"/{name}/ServerReflectionInfo": "elastic-inference:Reflect" for name in _REFLECTION},
    # Health has no secrets, and load balancers have no tickets.
    "/grpc.health.v1.Health/Check": PUBLIC,
    "/grpc.health.v1.Health/Watch": PUBLIC,
    "/grpc.health.v1.Health/List": PUBLIC,
}
ACTIONS = frozenset(action for action in PERMISSIONS.values() if action is not PUBLIC)


class Gate:
    """Checks tickets, remembers the good ones, and forgets those that were revoked.

    Args:
        verifier: checks signature, audience and times.
        tenancy: the only tenancy whose tickets are good here.
        clock: seconds since the epoch, by which tickets are issued: `Clock.steady`. Who sets the
            machine's clock thus neither ends a ticket nor lets it live longer.
    """

    def __init__(
        self,
        verifier: TicketVerifier,
        tenancy: int,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._verifier, self._tenancy, self._limits, self._clock = verifier, tenancy, limits, clock
        self._good: dict[str, Ticket] = {}
        self._revoked: set[str] = set()
        self._tenant: str | None = None
        self.streams = OpenStreams(limits, clock)
        self.policies = PolicyTable(ACTIONS)

    def admit(self, path: str, metadata: Iterable[tuple[str, str | bytes]]) -> Ticket | None:
        """The caller's ticket, or None where none is asked for.

        Raises:
            VersionError: no such method.
            CredentialsError: no ticket, or one that is not good (any more).
            AccessDeniedError: another tenant's ticket.
        """
        if path not in PERMISSIONS:
            raise VersionError("There is no such method.", reason="UNKNOWN_METHOD")
        if PERMISSIONS[path] is PUBLIC:
            return None
        return self._check(_bearer(metadata, self._limits))

    def _check(self, token: str) -> Ticket:
        now = self._clock()
        ticket = self._good.get(token)
        if ticket is None or ticket.expires_at <= now:
            self._good.pop(token, None)
            ticket = self._verifier.verify(token, now)
        if ticket.ends_with(self._revoked):
            raise CredentialsError("The key of this ticket was revoked.", reason="TICKET_REVOKED")
        self._check_tenant(ticket)
        if len(self._good) >= _KEPT_TICKETS:
            self._good.pop(next(iter(self._good)))
        self._good[token] = ticket
        return ticket

    def _check_tenant(self, ticket: Ticket) -> None:
        if ticket.tenancy != self._tenancy:
            raise CredentialsError(
                "The ticket is of another tenancy of this accelerator.", reason="TICKET_EXPIRED"
            )
        if self._tenant is None:
            self._tenant = ticket.principal
        if ticket.principal != self._tenant:
            raise AccessDeniedError("This accelerator serves another principal at present.")

    async def take_policies(self, holder: HolderPolicies) -> None:
        """Decide by these policies from now on, and end the streams of tickets that are over."""
        await self.policies.told(holder)
        owner = (holder.principal.arn, holder.access_key_id)
        error = CredentialsError(
            "The policies do not allow this any more.", reason="TICKET_REVOKED"
        )
        self.streams.end(
            lambda ticket: (
                (ticket.principal, ticket.access_key_id) == owner
                and ticket.policies <= holder.ended
            ),
            error,
        )

    def revoke(self, names: Iterable[str]) -> None:
        """End the tickets of these access key ids and principals, and their open streams."""
        self._revoked.update(names)
        self._good.clear()
        error = CredentialsError("The key of this ticket was revoked.", reason="TICKET_REVOKED")
        self.streams.end(lambda ticket: ticket.ends_with(self._revoked), error)


class OpenStreams:
    """The Run streams that are open, so that they can be ended from outside.

    Args:
        limits: bound their number.
        clock: that of the gate.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits, self._clock = limits, clock
        self._timers: dict[asyncio.Task[object], asyncio.TimerHandle] = {}
        self._open: dict[asyncio.Task[object], Ticket] = {}
        self._busy: set[asyncio.Task[object]] = set()
        self._endings: dict[asyncio.Task[object], AcceleratorError] = {}
        self._draining: AcceleratorError | None = None

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def entered(self, ticket: Ticket) -> Iterator[None]:
        """Count the current task as an open stream, and end it when its ticket expires.

        Raises:
            BusyError: too many streams are open.
            AcceleratorError: inside, in place of a cancellation, when `end` ended the stream.
        """
        if self._draining is not None:
            raise self._draining
        if len(self._open) >= self._limits.streams:
            raise BusyError("Too many streams are open.", fields={"retry_after_ms": "1000"})
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = ticket
        self._look_again(task)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._endings:
                raise self._endings[task] from None
            raise
        finally:
            self._timers.pop(task).cancel()
            self._open.pop(task, None)
            self._endings.pop(task, None)

    def end(self, which: Callable[[Ticket], bool], error: AcceleratorError) -> None:
        """End the chosen streams with this error."""
        for task, ticket in list(self._open.items()):
            if which(ticket):
                self._end_one(task, error)

    def end_each(self, ending: Callable[[], AcceleratorError | None]) -> None:
        """End the streams for which there is an error; asked once for each."""
        for task in list(self._open):
            if (error := ending()) is not None:
                self._end_one(task, error)

    def end_idle(self) -> None:
        """End every stream that is between two calls, because this process ends."""
        error = ConnectionLostError("The accelerator is shutting down.")
        for task in list(self._open):
            if task not in self._busy:
                self._end_one(task, error)
        self._draining = error

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Mark the current task's stream as inside a call.

        Raises:
            ConnectionLostError: at the end, when the process began to shut down meanwhile.
        """
        task = asyncio.current_task()
        assert task is not None
        self.begin_call(task)
        try:
            yield
        finally:
            self._busy.discard(task)
        self.end_call(task)

    def begin_call(self, stream: asyncio.Task[object] | None) -> None:
        """Mark a stream, by the task that entered, as inside a call; on any thread."""
        assert stream is not None
        self._busy.add(stream)

    def end_call(self, stream: asyncio.Task[object] | None) -> None:
        """It is not any more; on any thread.

        Raises:
            ConnectionLostError: the process began to shut down meanwhile.
        """
        assert stream is not None
        self._busy.discard(stream)
        if self._draining is not None:
            raise self._draining

    def _look_again(self, task: asyncio.Task[object]) -> None:
        """See to it that a stream ends when its ticket is over.

        The event loop's clock stands still while the machine sleeps, and the gate's does not: so
        the end is not waited for in one piece.
        """
        left = max(0.0, self._open[task].expires_at - self._clock())
        self._timers[task] = asyncio.get_running_loop().call_later(
            min(left, _LOOK_SECONDS), self._end_when_expired, task
        )

    def _end_when_expired(self, task: asyncio.Task[object]) -> None:
        if self._clock() < self._open[task].expires_at:
            self._look_again(task)
        else:
            self._end_one(task, CredentialsError("The ticket expired.", reason="TICKET_EXPIRED"))

    def _end_one(self, task: asyncio.Task[object], error: AcceleratorError) -> None:
        if task in self._open and task not in self._endings:
            self._endings[task] = error
            task.cancel()


def _bearer(metadata: Iterable[tuple[str, str | bytes]], limits: Limits) -> str:
    values = [value for key, value in metadata if key == "authorization"]
    if not values or values[0] in ("", _BEARER, _BEARER.strip()):
        raise CredentialsError("The call carries no ticket.", reason="MISSING_TICKET")
    value = values[0]
    if len(values) > 1 or not isinstance(value, str) or not value.startswith(_BEARER):
        raise CredentialsError("The call's authorization cannot be read.", reason="INVALID_TICKET")
    limits.check("ticket_characters", len(value) - len(_BEARER))
    return value.removeprefix(_BEARER)
