"""`POST /connect`: the one place where IAM decides who uses which accelerator.

Request: {"accelerator": "eia-…" | ordinal | null, "minVersion": 1, "maxVersion": 1}. The answer
says where the accelerator is and holds a ticket for it. For null, the first accelerator that the
caller may use is chosen: its own before a free one, a ready one before one that restarts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from accel_daemon.control.service import Call, call_of
from accel_daemon.iam.tickets import MAX_TICKET_SECONDS
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.fleet import Selector
from accel_daemon.supervisor.life_cycle import State
from accel_daemon.supervisor.tenancy import Granted, Occupied
from accel_protocol.errors import (
    AcceleratorError,
    BusyError,
    CallError,
    ConnectionLostError,
    VersionError,
)

PROTOCOL_VERSION = 1
RESTART_RETRY_MS = 1000


async def connect(request: web.Request) -> web.StreamResponse:
    """Choose an accelerator for the caller and issue a ticket for it."""
    call = call_of(request)
    body = call.json_body()
    check_versions(body)
    accelerator = choose(_candidates(call, read_selector(body)), call.principal.arn)
    answer = accelerator.assign(call.principal.arn)
    if not isinstance(answer, Granted) or accelerator.state is not State.READY:
        raise _unavailable(accelerator)
    return web.json_response(_answer(call, accelerator))


def read_selector(body: Mapping[str, object]) -> Selector:
    """Which accelerator the body asks for.

    Raises:
        CallError: neither an id, nor an ordinal, nor null.
    """
    value = body.get("accelerator")
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise CallError("`accelerator` is neither an id, nor an ordinal, nor null.")
    return value


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


def choose(candidates: Sequence[AcceleratorProcess], principal: str) -> AcceleratorProcess:
    """The best of the accelerators that the caller may use.

    Raises:
        BusyError: other principals have them all.
    """
    best = min(candidates, key=lambda one: _rank(one, principal))
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


def _candidates(call: Call, selector: Selector) -> tuple[AcceleratorProcess, ...]:
    """The accelerators that are meant and allowed.

    An id is checked against the policies before it is looked up, so a caller learns only about
    accelerators that it may use.
    """
    if isinstance(selector, str) and not call.allows(selector):
        raise call.denied(selector[:40])
    meant = call.service.fleet.select(selector)
    if isinstance(selector, str):
        return meant
    allowed = tuple(one for one in meant if call.allows(one.id))
    if not allowed:
        raise call.denied(None if selector is None else meant[0].id)
    return allowed


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
    return ConnectionLostError(
        f"The accelerator {accelerator.id} is not ready: {accelerator.state.value}.",
        remedy="Try again after the hinted delay.",
        fields={"retry_after_ms": str(RESTART_RETRY_MS), "state": accelerator.state.value},
    )


def _answer(call: Call, accelerator: AcceleratorProcess) -> dict[str, object]:
    ticket = call.service.tickets.issue(
        call.principal,
        accelerator.id,
        call.access_key_id,
        accelerator.tenancy.number,
        call.service.now().timestamp(),
        MAX_TICKET_SECONDS,
    )
    call.audit(accelerator.id, allowed=True, reason="A ticket was issued.")
    return {
        "accelerator": {
            "id": accelerator.id,
            "type": accelerator.placement.spec.type,
            "ordinal": accelerator.placement.ordinal,
            "endpoint": accelerator.endpoint,
            "serverName": accelerator.id,
        },
        "ticket": ticket,
        "ticketExpiresIn": MAX_TICKET_SECONDS,
        "principal": call.principal.arn,
        "requestId": call.request_id,
    }
