"""`POST /describe-accelerators`: AWS's operation, with its ids, filters and pages.

The rows of `acceleratorSet` are exactly AWS's. What AWS has no member for is beside it, in
`acceleratorDetails`, which AWS's SDKs ignore: ordinal, state, endpoint, the memory that is used,
and whether it is paced.
"""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from accel_daemon.control.metadata.instance import availability_zone, instance_id
from accel_daemon.control.pages import Question, cut_page, matches, read_question
from accel_daemon.control.service import ControlService, call_of
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess


async def describe_accelerators(request: web.Request) -> web.StreamResponse:
    """One page of the accelerators that the body asks for."""
    call = call_of(request)
    question = read_question(call.json_body())
    chosen = {one.id: one for one in _chosen(call.service, question)}
    page, next_token = cut_page(question, list(chosen))
    rows = [_row(call.service, chosen[one]) for one in page]
    details = [_details(chosen[one]) for one in page]
    answer: dict[str, object] = {"acceleratorSet": rows, "acceleratorDetails": details}
    return web.json_response(answer if next_token is None else {**answer, "nextToken": next_token})


def _chosen(service: ControlService, question: Question) -> Sequence[AcceleratorProcess]:
    """The accelerators that are meant, in the order in which they were asked for.

    Raises:
        ConfigurationError: an id that is not there (ACCELERATOR_NOT_FOUND).
    """
    meant: Sequence[AcceleratorProcess] = service.fleet.accelerators
    if question.ids:
        meant = [one for wanted in question.ids for one in service.fleet.select(wanted)]
    return [one for one in meant if matches(question.filters, _filtered(service, one))]


def _filtered(service: ControlService, accelerator: AcceleratorProcess) -> dict[str, str]:
    return {
        "acceleratorType": accelerator.placement.spec.type,
        "instanceId": instance_id(service.fleet),
    }


def _row(service: ControlService, accelerator: AcceleratorProcess) -> dict[str, object]:
    account = service.identities().account
    instance = instance_id(service.fleet)
    return {
        "acceleratorHealth": {"status": "Ok" if accelerator.is_healthy else "Unavailable"},
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
        "sandbox": accelerator.sandbox,
        "usedMemoryBytes": accelerator.counters.get("memory_bytes"),
        **({"paced": True} if accelerator.placement.spec.paced else {}),
    }
