"""`/faults`: faults on demand, listed, injected and cleared. See docs/faults.md.

They are taken only where the operator allowed them when the daemon was started. An answer comes
when the accelerators' processes have taken the change over.
"""

from __future__ import annotations

from aiohttp import web

from accel_daemon.control.service import Call, call_of
from accel_daemon.faults.board import FaultBoard, Injected
from accel_daemon.faults.fault import parse_fault
from accel_protocol.errors import AccessDeniedError


async def list_faults(request: web.Request) -> web.StreamResponse:
    """Those whose time is not over, and how often each has struck."""
    call = call_of(request)
    rows = [_row(call, one) for one in _board(call).present()]
    return web.json_response({"faults": rows, "requestId": call.request_id})


async def inject_fault(request: web.Request) -> web.StreamResponse:
    """Add the fault that the body describes."""
    call = call_of(request)
    board, fault = _board(call), parse_fault(call.json_body())
    accelerator_id = None
    if fault.accelerator is not None:
        accelerator_id = call.service.fleet.select(fault.accelerator)[0].id
    injected = board.inject(fault, accelerator_id)
    await call.service.fleet.tell_faults()
    return web.json_response({"fault": _row(call, injected), "requestId": call.request_id})


async def clear_faults(request: web.Request) -> web.StreamResponse:
    """Take all faults away."""
    return await _clear(call_of(request), None)


async def clear_fault(request: web.Request) -> web.StreamResponse:
    """Take one fault away; one that is not there any more is no error."""
    return await _clear(call_of(request), request.match_info["faultId"])


async def _clear(call: Call, fault_id: str | None) -> web.StreamResponse:
    cleared = _board(call).clear(fault_id)
    await call.service.fleet.tell_faults()
    return web.json_response({"cleared": list(cleared), "requestId": call.request_id})


def _board(call: Call) -> FaultBoard:
    if call.service.faults is None:
        raise AccessDeniedError(
            "This daemon takes no faults on demand.",
            remedy="Start one for tests with `accel-daemon up --allow-faults`; "
            "never do so in production.",
        )
    return call.service.faults


def _row(call: Call, injected: Injected) -> dict[str, object]:
    counted = f"fault_{injected.id}"
    at_accelerators = sum(one.counters.get(counted, 0) for one in call.service.fleet.accelerators)
    return {
        "id": injected.id,
        "fault": injected.fault.to_document(),
        "text": injected.fault.to_text(),
        "acceleratorId": injected.accelerator_id,
        "until": injected.until,
        "happened": injected.happened + at_accelerators,
    }
