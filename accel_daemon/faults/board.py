"""The faults that a daemon has: what its control endpoint asks, and what processes are told.

Everything takes the time from the clock that the board was made with: seconds since the epoch, as
if nobody had set the machine's clock since the daemon's start (`Clock.steady`). So faults end in
time whatever the wall clock does, also by a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from accel_daemon.faults.fault import Fault, Kind
from accel_daemon.faults.plan import Event, FaultPlan, Moment, Verdict
from accel_protocol.errors import LimitError

MAX_FAULTS = 32
_ADMISSION = Event(Moment.ADMISSION)


@dataclass(frozen=True)
class Place:
    """One accelerator: its id and its ordinal."""

    accelerator_id: str
    ordinal: int


@dataclass(frozen=True)
class Injected:
    """A fault that was injected.

    Attributes:
        id: its number, from 1.
        fault: what was asked for.
        accelerator_id: where; None for everywhere.
        until: when it is over, seconds since the epoch; None for never.
    """

    id: str
    fault: Fault
    accelerator_id: str | None
    until: float | None
    _plans: dict[str, FaultPlan] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, place: str) -> FaultPlan:
        """Its decisions at a place of the daemon's own."""
        return self._plans.setdefault(place, FaultPlan(self.fault, place))

    @property
    def happened(self) -> int:
        """How often it has struck at the control endpoint."""
        return sum(plan.happened for plan in self._plans.values())

    def is_at(self, place: Place) -> bool:
        """Whether it is about this accelerator."""
        return self.accelerator_id in (None, place.accelerator_id)

    def told(self, place: Place) -> dict[str, object]:
        """What the accelerator's process is told of it."""
        return {
            "id": self.id,
            "place": str(place.ordinal),
            "until": self.until,
            "fault": self.fault.to_document(),
        }


class FaultBoard:
    """See the module.

    Attributes:
        version: rises with every change.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._injected: list[Injected] = []
        self._last_id = 0
        self.version = 0

    def inject(self, fault: Fault, accelerator_id: str | None) -> Injected:
        """Add a fault.

        Raises:
            LimitError: there are MAX_FAULTS already.
        """
        count = len(self.present())
        if count >= MAX_FAULTS:
            raise LimitError(
                f"There are {count} faults already.",
                remedy="Clear some.",
                fields={"name": "faults", "limit": str(MAX_FAULTS), "actual": str(count + 1)},
            )
        self._last_id += 1
        until = None if fault.seconds is None else self._clock() + fault.seconds
        one = Injected(str(self._last_id), fault, accelerator_id, until)
        self._injected.append(one)
        self.version += 1
        return one

    def clear(self, fault_id: str | None = None) -> tuple[str, ...]:
        """Take away one fault, or all for None; the ids of those that were still there."""
        gone = tuple(one.id for one in self.present() if fault_id in (None, one.id))
        self._injected = [one for one in self._injected if one.id not in gone]
        self.version += 1
        return gone

    def present(self) -> tuple[Injected, ...]:
        """The faults whose time is not over."""
        now = self._clock()
        self._injected = [one for one in self._injected if one.until is None or one.until > now]
        return tuple(self._injected)

    def told(self, place: Place) -> tuple[dict[str, object], ...]:
        """All that an accelerator's process is told."""
        return tuple(one.told(place) for one in self.present() if one.is_at(place))

    def is_unhealthy(self, place: Place) -> bool:
        """Whether an accelerator is unhealthy by fault, or cannot be had at all."""
        return any(
            is_unhealthy(one.plan(f"{place.ordinal}")) for one in self.present() if one.is_at(place)
        )

    def refuses_connect(self, place: Place) -> bool:
        """Whether this Connect to an accelerator is refused as UNAVAILABLE."""
        return self._strikes(
            (one for one in self.present() if one.is_at(place)),
            Kind.UNAVAILABLE,
            f"connect {place.ordinal}",
        )

    def clock_skew(self) -> float:
        """By how many seconds the clock is ahead by fault."""
        return sum(one.fault.offset_seconds for one in self.present())

    def refuses_credentials(self) -> bool:
        """Whether this request's credentials are refused as expired."""
        at_control = (one for one in self.present() if one.fault.at in ("control", "both"))
        return self._strikes(at_control, Kind.EXPIRED_CREDENTIALS, "control")

    def _strikes(self, faults: Iterable[Injected], kind: Kind, place: str) -> bool:
        decisions = [
            one.plan(place).decide(_ADMISSION).verdict for one in faults if one.fault.kind is kind
        ]
        return Verdict.REFUSE in decisions


def is_unhealthy(plan: FaultPlan) -> bool:
    """Whether a fault makes health checks fail; the same for the daemon and for the process."""
    kind = plan.fault.kind
    return (kind is Kind.UNHEALTHY and plan.holds) or (
        kind is Kind.UNAVAILABLE and plan.fault.is_certain
    )
