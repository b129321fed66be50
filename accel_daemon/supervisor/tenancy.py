"""Who has an accelerator: one principal at a time, and nothing of it is left for the next one.

Pure. All times are seconds of one monotonic clock. A new tenant gets a new tenancy number, and the
process is ended in between: that wipes variables, loaded graphs and whatever else was in memory,
and tickets of the earlier number are refused by the new process.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# Long enough for a client that restarts or reconnects, short enough that a forgotten
# client does not keep an accelerator from others for the life of a ticket.
IDLE_SECONDS = 30.0
TICKET_SECONDS = 900
_SOONEST_RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Tenancy:
    """One accelerator's present tenant.

    Attributes:
        number: rises with every new tenant.
        principal: ARN of the tenant; None while nobody had the accelerator since it started.
        last_ticket_expires_at: when the newest ticket of this tenancy ends; None before the first.
    """

    number: int = 1
    principal: str | None = None
    last_ticket_expires_at: float | None = None


@dataclass(frozen=True)
class Granted:
    """The principal may have it at once; `tenancy` is what then holds."""

    tenancy: Tenancy


@dataclass(frozen=True)
class NeedsRestart:
    """The principal may have it after the process has been ended; `tenancy` is what then holds."""

    tenancy: Tenancy


@dataclass(frozen=True)
class Occupied:
    """Another principal has it; asking again makes sense after `retry_after` seconds."""

    retry_after: float


Assignment = Granted | NeedsRestart | Occupied


def assign(
    tenancy: Tenancy, principal: str, now: float, open_streams: int, idle_seconds: float
) -> Assignment:
    """Decide whether a principal may have the accelerator.

    Args:
        tenancy: who has it now.
        principal: ARN of who asks.
        now: the present time.
        open_streams: streams and other calls open on the accelerator.
        idle_seconds: since the last of them, and since the last ticket was issued.
    """
    granted = replace(tenancy, principal=principal, last_ticket_expires_at=now + TICKET_SECONDS)
    if tenancy.principal is None or tenancy.principal == principal:
        return Granted(granted)
    if open_streams > 0:
        return Occupied(IDLE_SECONDS)
    expires_at = tenancy.last_ticket_expires_at
    ticket_left = 0.0 if expires_at is None else expires_at - now
    left = min(IDLE_SECONDS - idle_seconds, ticket_left)
    if left > 0:
        return Occupied(max(left, _SOONEST_RETRY_SECONDS))
    return NeedsRestart(replace(granted, number=tenancy.number + 1))
