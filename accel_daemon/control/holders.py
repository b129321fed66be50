"""Tells accelerators what limits those who get tickets, and tells them again when that changes.

An accelerator knows no identities and no tags. What it needs to decide is written to it before
Connect is answered, and again as soon as identities or tags change, so that a policy that was
narrowed holds for streams that are open. When Connect itself would be refused, the tickets end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from accel_daemon.control.service import (
    SESSION_ISSUED,
    Call,
    ControlService,
    accelerator_keys,
    time_keys,
)
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.request_context import AccessRequest, ContextValue
from accel_daemon.launch_order import MAX_ORDER_BYTES, HolderPolicies, Notice
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.ticket_holders import Holding, PoliciesNow, ticket_end
from accel_protocol.errors import LimitError

CONNECT = "elastic-inference:Connect"


async def tell_holder(call: Call, accelerator: AcceleratorProcess) -> int:
    """Tell an accelerator what limits the caller; the version that its ticket has to name.

    Everything up to the sending happens at once, so that no change of the identities is missed.

    Raises:
        LimitError: the policies are too long to be told.
    """
    holders, service = accelerator.holders, call.service
    asked = call.condition_keys(accelerator.id)
    former = holders.find(call.principal.arn, call.access_key_id)
    told = HolderPolicies(
        principal=call.principal,
        access_key_id=call.access_key_id,
        version=-1 if former is None else former.told.version,
        policies=call.policy_set,
        resource_arn=service.accelerator_arn(accelerator.id),
        keys=_keys(service, accelerator, asked),
        ended=-1 if former is None else former.told.ended,
    )
    _check_size(told)
    is_news = former is None or told != former.told
    if is_news:
        told = replace(told, version=holders.next_version())
    holders.put(Holding(told, _policies_now(call), asked, ticket_end(accelerator.now())))
    if is_news:
        await accelerator.tell((told,))
    return told.version


async def tell_again(service: ControlService, accelerators: Iterable[AcceleratorProcess]) -> None:
    """Tell accelerators what changed about those who hold their tickets."""
    for accelerator in accelerators:
        changed = []
        for holding in accelerator.holders.live(accelerator.now()):
            told = _present(service, accelerator, holding)
            if told is not None:
                accelerator.holders.put(replace(holding, told=told))
                changed.append(told)
        if changed:
            await accelerator.tell(changed)


def _present(
    service: ControlService, accelerator: AcceleratorProcess, holding: Holding
) -> HolderPolicies | None:
    """What is true about a holder now; None when nothing changed, or when its key is gone.

    A key that is gone is revoked, which ends its tickets as well.
    """
    policies = holding.policies_now(service.identities())
    if policies is None:
        return None
    keys = _keys(service, accelerator, holding.asked)
    if (policies, keys) == (holding.told.policies, holding.told.keys):
        return None
    version = accelerator.holders.next_version()
    told = replace(holding.told, policies=policies, keys=keys, version=version)
    if _may_connect(service, holding, told) and len(_line(told)) <= MAX_ORDER_BYTES:
        return told
    return replace(told, policies=PolicySet(), ended=version)


def _keys(
    service: ControlService, accelerator: AcceleratorProcess, asked: Mapping[str, ContextValue]
) -> dict[str, ContextValue]:
    """The condition keys that stay the same from call to call."""
    session = {key: value for key, value in asked.items() if key == SESSION_ISSUED}
    return {**session, **accelerator_keys(service, accelerator.id)}


def _may_connect(service: ControlService, holding: Holding, told: HolderPolicies) -> bool:
    rules = told.policies.rules()
    if rules is None:
        return False
    fixed = {k: v for k, v in holding.asked.items() if k not in holding.told.keys}
    context = {**fixed, **told.keys, **time_keys(service.now())}
    request = AccessRequest(told.principal, CONNECT, told.resource_arn, context)
    return rules.decide(request).allowed


def _policies_now(call: Call) -> PoliciesNow:
    """How the caller's policies are found again when the identities have changed."""
    caller = call.caller

    def find(identities: Identities) -> PolicySet | None:
        return caller.policy_set(identities) if caller.is_alive(identities) else None

    return find


def _check_size(told: HolderPolicies) -> None:
    size = len(_line(told))
    if size > MAX_ORDER_BYTES:
        raise LimitError(
            "The caller's policies and the accelerator's tags are too long.",
            fields={"name": "policy_bytes", "limit": str(MAX_ORDER_BYTES), "actual": str(size)},
        )


def _line(told: HolderPolicies) -> bytes:
    return Notice("policies", holder=told).to_line()
