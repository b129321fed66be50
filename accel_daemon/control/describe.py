"""`POST /describe-accelerators`: the AWS operation, as far as `acceleratorIds` goes.

The rows of `acceleratorSet` are exactly AWS's. What AWS has no member for is beside it, in
`acceleratorDetails`, which AWS's SDKs ignore: ordinal, state, endpoint and the memory that is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from accel_daemon.control.metadata import availability_zone, instance_id
from accel_daemon.control.service import ControlService, call_of
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.life_cycle import State
from accel_protocol.errors import CallError


async def describe_accelerators(request: web.Request) -> web.StreamResponse:
    """The accelerators that the body asks for, or all of them."""
    call = call_of(request)
    chosen = _chosen(call.service, read_ids(call.json_body()))
    rows = [_row(call.service, one) for one in chosen]
    details = [_details(one) for one in chosen]
    return web.json_response({"acceleratorSet": rows, "acceleratorDetails": details})


def read_ids(body: Mapping[str, object]) -> list[str]:
    """The ids asked for; empty when all are meant.

    Raises:
        CallError: they are not a list of texts.
    """
    ids = body.get("acceleratorIds") or []
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise CallError("`acceleratorIds` is not a list of ids.")
    return ids


def _chosen(service: ControlService, ids: list[str]) -> Sequence[AcceleratorProcess]:
    if not ids:
        return service.fleet.accelerators
    return [one for wanted in dict.fromkeys(ids) for one in service.fleet.select(wanted)]


def _row(service: ControlService, accelerator: AcceleratorProcess) -> dict[str, object]:
    account = service.identities().account
    instance = instance_id(service.fleet)
    is_ok = accelerator.state is State.READY
    return {
        "acceleratorHealth": {"status": "Ok" if is_ok else "Unavailable"},
        "acceleratorType": accelerator.placement.spec.type,
        "acceleratorId": accelerator.id,
        "availabilityZone": availability_zone(service.region),
        "attachedResource": f"arn:aws:ec2:{service.region}:{account}:instance/{instance}",
    }


def _details(accelerator: AcceleratorProcess) -> dict[str, object]:
    return {
        "acceleratorId": accelerator.id,
        "ordinal": accelerator.placement.ordinal,
        "state": accelerator.state.value,
        "endpoint": accelerator.endpoint,
        "usedMemoryBytes": accelerator.counters.get("memory_bytes"),
    }
