"""Who holds tickets of one accelerator, and what limits them: as its processes have to be told.

Pure. Times are seconds of one monotonic clock. A process that starts again is told all of it again;
what belongs to tickets that have all expired is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.request_context import ContextValue
from accel_daemon.launch_order import HolderPolicies
from accel_daemon.supervisor.tenancy import TICKET_SECONDS

# Of one accelerator. Each has tickets of at most 15 minutes, all of one principal.
MAX_HOLDERS = 512
# Present policies of the holder, by what the identities say now; None when it is gone.
PoliciesNow = Callable[[Identities], PolicySet | None]


@dataclass(frozen=True)
class Holding:
    """One holder.

    Attributes:
        told: what the process was told last.
        policies_now: finds its policies again when the identities change.
        asked: the condition keys that it connected with.
        until: when its last ticket ends.
    """

    told: HolderPolicies
    policies_now: PoliciesNow
    asked: Mapping[str, ContextValue]
    until: float


class TicketHolders:
    """The holders of one accelerator's tickets, by principal and access key."""

    def __init__(self) -> None:
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._version = 0

    def next_version(self) -> int:
        """A number above all that were given before."""
        self._version += 1
        return self._version

    def find(self, principal: str, access_key_id: str) -> Holding | None:
        """What was noted about a holder."""
        return self._holdings.get((principal, access_key_id))

    def put(self, holding: Holding) -> None:
        """Note a holder, or what is new about it; the oldest one makes room."""
        key = (holding.told.principal.arn, holding.told.access_key_id)
        self._holdings.pop(key, None)
        while len(self._holdings) >= MAX_HOLDERS:
            self._holdings.pop(next(iter(self._holdings)))
        self._holdings[key] = holding

    def live(self, now: float) -> tuple[Holding, ...]:
        """Those whose tickets may be good; the others are forgotten."""
        self._holdings = {key: one for key, one in self._holdings.items() if one.until > now}
        return tuple(self._holdings.values())

    def clear(self) -> None:
        """Forget them all: a new tenant comes, and earlier tickets are worth nothing."""
        self._holdings.clear()


def ticket_end(now: float) -> float:
    """When a ticket that is issued now has ended for everyone, whatever their clocks say."""
    return now + TICKET_SECONDS + 60
