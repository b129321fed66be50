"""`GET /status`, for operators, and `GET /healthz`, for whatever watches over the daemon."""

from __future__ import annotations

from aiohttp import web

from accel_daemon.control.service import SERVICE, call_of
from accel_daemon.sandbox.levels import weakest_level
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess


async def healthz(request: web.Request) -> web.StreamResponse:
    """Whether the daemon accepts Connect: 200, or 503 until every accelerator was ready once.

    While the daemon drains it is 503 as well.

    `sandbox` is the level that every accelerator which runs has at least.
    """
    service = request.app[SERVICE]
    if service.is_ready():
        weakest = weakest_level(one.sandbox for one in service.fleet.accelerators)
        return web.json_response({"status": "ok", "sandbox": weakest})
    why = "draining" if service.is_draining() else "starting"
    return web.json_response({"status": why}, status=503)


async def status(request: web.Request) -> web.StreamResponse:
    """All accelerators with their state and their counters."""
    call = call_of(request)
    rows = [_row(one) for one in call.service.fleet.accelerators]
    return web.json_response({"accelerators": rows, "requestId": call.request_id})


def _row(accelerator: AcceleratorProcess) -> dict[str, object]:
    return {
        "id": accelerator.id,
        "type": accelerator.placement.spec.type,
        "ordinal": accelerator.placement.ordinal,
        "engine": accelerator.placement.spec.engine,
        "state": accelerator.state.value,
        "pid": accelerator.pid,
        "endpoint": accelerator.endpoint,
        "restarts": accelerator.restarts,
        "sandbox": accelerator.sandbox,
        "tenancy": accelerator.tenancy.number,
        "principal": accelerator.tenancy.principal,
        "quarantined": accelerator.quarantined(),
        "counters": accelerator.counters,
    }
