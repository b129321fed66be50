"""`POST /connect`: the one place where IAM decides who uses which accelerator.

Request: {"accelerator": "eia-…" | ordinal | null, "minVersion": 1, "maxVersion": 1}. The answer
says where the accelerator is and holds a ticket for it. For null, the first accelerator that the
caller may use is chosen: its own before a free one, a ready one before one that restarts.

With "accelerators": ["eia-…" | ordinal, …] only those count, as if there were no others, and for
null they are tried in the order of the list: that is how a client's EI_VISIBLE_DEVICES arrives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from aiohttp import web

from accel_daemon.control.holders import tell_holder
from accel_daemon.control.service import Call, call_of
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.fleet import Selector
from accel_daemon.supervisor.life_cycle import State
from accel_daemon.supervisor.tenancy import Granted, Occupied
from accel_protocol.errors import (
    AcceleratorError,
    BusyError,
    CallError,
    ConfigurationError,
    ConnectionLostError,
    VersionError,
)

PROTOCOL_VERSION = 1
RESTART_RETRY_MS = 1000
MAX_AMONG = 64
MAX_NAMED = 8


async def connect(request: web.Request) -> web.StreamResponse:
    """Choose an accelerator for the caller and issue a ticket for it."""
    call = call_of(request)
    body = call.json_body()
    check_versions(body)
    selector, among = read_selector(body), read_among(body)
    if among is None:
        candidates = _candidates(call, selector)
    else:
        candidates = _visible_candidates(call, selector, among)
    accelerator = _choose_working(call, candidates, in_order=among is not None)
    call.subject, call.is_allowed = accelerator.id, True
    answer = accelerator.assign(call.principal.arn)
    if not isinstance(answer, Granted) or accelerator.state is not State.READY:
        raise _unavailable(accelerator)
    # Read before anything is waited for: by then another principal may have the accelerator.
    tenancy = accelerator.tenancy.number
    policies = await tell_holder(call, accelerator)
    return web.json_response(_answer(call, accelerator, tenancy, policies))


def read_selector(body: Mapping[str, object]) -> Selector:
    """Which accelerator the body asks for.

    Raises:
        CallError: neither an id, nor an ordinal, nor null.
    """
    value = body.get("accelerator")
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise CallError("`accelerator` is neither an id, nor an ordinal, nor null.")
    return value


def read_among(body: Mapping[str, object]) -> tuple[str | int, ...] | None:
    """Which accelerators count; None when all do.

    Raises:
        CallError: not a list of 1 to 64 ids or ordinals.
    """
    value = body.get("accelerators")
    if value is None:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_AMONG:
        raise CallError(f"`accelerators` is not a list of 1 to {MAX_AMONG} ids or ordinals.")
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in value):
        raise CallError("`accelerators` holds what is neither an id nor an ordinal.")
    return tuple(value)


def check_versions(body: Mapping[str, object]) -> None:
    """Check that the client's window of protocol versions meets ours.

    Raises:
        CallError: the window is malformed.
        VersionError: the windows do not meet.
    """
    window = [body.get(name, PROTOCOL_VERSION) for name in ("minVersion", "maxVersion")]
    lowest, highest = window
    if isinstance(lowest, bool) or isinstance(highest, bool):
        raise CallError("`minVersion` and `maxVersion` are not integers.")
    if not isinstance(lowest, int) or not isinstance(highest, int):
        raise CallError("`minVersion` and `maxVersion` are not integers.")
    if not lowest <= PROTOCOL_VERSION <= highest:
        raise VersionError(
            f"The daemon speaks version {PROTOCOL_VERSION} of the protocol only.",
            fields={"min_version": str(PROTOCOL_VERSION), "max_version": str(PROTOCOL_VERSION)},
        )


def choose(
    candidates: Sequence[AcceleratorProcess], principal: str, *, in_order: bool = False
) -> AcceleratorProcess:
    """The best of the accelerators that the caller may use.

    Args:
        candidates: at least one.
        principal: ARN of the caller.
        in_order: the first that can be had at once, even if a later one is the caller's already.

    Raises:
        BusyError: other principals have them all.
    """
    best = min(candidates, key=lambda one: _rank(one, principal)[: 1 if in_order else 2])
    answer = best.preview(principal)
    if isinstance(answer, Occupied):
        soonest = min(
            other.retry_after
            for other in (one.preview(principal) for one in candidates)
            if isinstance(other, Occupied)
        )
        raise BusyError(
            "Another principal has the accelerator at present.",
            fields={"retry_after_ms": str(round(soonest * 1000))},
        )
    return best


def _choose_working(
    call: Call, candidates: Sequence[AcceleratorProcess], *, in_order: bool
) -> AcceleratorProcess:
    """The best of those that are not unavailable by a fault on demand."""
    best = choose(candidates, call.principal.arn, in_order=in_order)
    faults = call.service.faults
    if faults is None or not faults.refuses_connect(best.place):
        return best
    others = [one for one in candidates if one is not best]
    if not others:
        raise ConnectionLostError(
            f"The accelerator {best.id} is unavailable (fault on demand).",
            fields={"retry_after_ms": str(RESTART_RETRY_MS)},
        )
    return _choose_working(call, others, in_order=in_order)


def _candidates(call: Call, selector: Selector) -> tuple[AcceleratorProcess, ...]:
    """The accelerators that are meant and allowed.

    An id is checked against the policies before it is looked up, so a caller learns only about
    accelerators that it may use.
    """
    if isinstance(selector, str) and not call.allows(selector):
        raise call.denied(selector[:40])
    meant = _select(call, selector)
    if isinstance(selector, str):
        return meant
    allowed = tuple(one for one in meant if call.allows(one.id))
    if not allowed:
        raise call.denied(None if selector is None else meant[0].id)
    return allowed


def _visible_candidates(
    call: Call, selector: Selector, among: Sequence[str | int]
) -> tuple[AcceleratorProcess, ...]:
    """Those of a list that are meant and allowed, in its order.

    Ids that the caller may not use are passed over, whether they are there or not.
    """
    entries = [one for one in among if isinstance(one, int) or call.allows(one)]
    listed = [accelerator for entry in entries for accelerator in _select(call, entry)]
    if len({one.id for one in listed}) < len(listed):
        raise CallError("`accelerators` names an accelerator twice.")
    visible = tuple(one for one in listed if one.id in entries or call.allows(one.id))
    if not visible:
        raise call.denied()
    if selector is None:
        return visible
    (meant,) = _candidates(call, selector)
    if meant not in visible:
        raise ConfigurationError(
            f"The accelerator {meant.id} is not among the visible ones: {_named(visible)}.",
            reason="ACCELERATOR_NOT_FOUND",
        )
    return (meant,)


def _select(call: Call, selector: Selector) -> tuple[AcceleratorProcess, ...]:
    """The accelerators with this id or ordinal, or all.

    Raises:
        ConfigurationError: there is none; the message names those that the caller may use.
    """
    fleet = call.service.fleet
    try:
        return fleet.select(selector)
    except ConfigurationError as error:
        usable = [one for one in fleet.accelerators if call.allows(one.id)]
        if not usable:
            raise
        raise ConfigurationError(
            f"There is no accelerator {str(selector)[:40]!r}, only {_named(usable)}.",
            reason=error.reason,
        ) from None


def _named(accelerators: Sequence[AcceleratorProcess]) -> str:
    shown = [f"{one.placement.ordinal} ({one.id})" for one in accelerators[:MAX_NAMED]]
    return ", ".join(shown) + (", …" if len(accelerators) > MAX_NAMED else "")


def _rank(accelerator: AcceleratorProcess, principal: str) -> tuple[int, int]:
    """Lower is better; accelerators of one rank keep their order."""
    answer = accelerator.preview(principal)
    is_ready = accelerator.state is State.READY
    is_own = accelerator.tenancy.principal == principal
    if isinstance(answer, Occupied):
        return (3, 0)
    if not isinstance(answer, Granted):
        return (2, 0)
    return (0 if is_ready else 1, 0 if is_own else 1)


def _unavailable(accelerator: AcceleratorProcess) -> AcceleratorError:
    """The hint is when its process may be ready: not before it is started again."""
    retry_after_ms = RESTART_RETRY_MS + math.ceil(accelerator.starts_in * 1000)
    return ConnectionLostError(
        f"The accelerator {accelerator.id} is not ready: {accelerator.state.value}.",
        remedy="Try again after the hinted delay.",
        fields={"retry_after_ms": str(retry_after_ms), "state": accelerator.state.value},
    )


def _answer(
    call: Call, accelerator: AcceleratorProcess, tenancy: int, policies: int
) -> dict[str, object]:
    seconds = call.ticket_seconds
    ticket = call.service.tickets.issue(
        call.principal,
        accelerator.id,
        call.access_key_id,
        tenancy,
        call.service.clock.steady(),
        seconds,
        parents=call.caller.parents,
        policies=policies,
    )
    call.why = "A ticket was issued."
    return {
        "accelerator": {
            "id": accelerator.id,
            "type": accelerator.placement.spec.type,
            "ordinal": accelerator.placement.ordinal,
            "endpoint": accelerator.endpoint,
            "serverName": accelerator.id,
            **_lanes(accelerator),
        },
        "ticket": ticket,
        "ticketExpiresIn": seconds,
        "principal": call.principal.arn,
        "requestId": call.request_id,
    }


def _lanes(accelerator: AcceleratorProcess) -> dict[str, str]:
    """Where it can be reached without gRPC."""
    lanes = {"laneEndpoint": accelerator.lane_endpoint, "localLane": accelerator.local_lane}
    return {name: value for name, value in lanes.items() if value}
