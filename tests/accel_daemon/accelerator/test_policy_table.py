"""When a ticket's policies are known, waited for, or not good any more."""

from __future__ import annotations

import asyncio

import pytest

from accel_daemon.accelerator.gate import ACTIONS
from accel_daemon.accelerator.policy_table import MAX_HOLDERS, PolicyTable
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import Ticket
from accel_daemon.launch_order import HolderPolicies
from accel_protocol.errors import BusyError, CredentialsError

ANN = Principal("ann", "000000000000")
DENY = {"Effect": "Deny", "Action": "*", "Resource": "*"}


def ticket(policies: int = 1, key: str = "AKIA1", who: Principal = ANN) -> Ticket:
    """A ticket that was issued under this version of the policies."""
    return Ticket(who.arn, who.account, "eia-1", key, 1, 0, 900, "t", policies=policies)


def holder(version: int = 1, key: str = "AKIA1", ended: int = -1) -> HolderPolicies:
    """What the supervisor says about Ann's key."""
    return HolderPolicies(ANN, key, version, PolicySet(), "*", ended=ended)


@pytest.mark.parametrize(
    ("told", "asked", "known"), [(1, 1, True), (2, 1, True), (1, 2, False), (1, 0, True)]
)
def test_the_version_of_the_ticket_or_a_later_one(told: int, asked: int, known: bool) -> None:
    """An earlier one might lack a Deny that the ticket was issued under."""
    table = PolicyTable(ACTIONS)
    table.tell(holder(told))
    assert (table.find(ticket(asked)) is not None) is known


@pytest.mark.parametrize(
    "other", [ticket(key="AKIA2"), ticket(who=Principal("bob", "000000000000"))]
)
def test_policies_are_of_one_key_and_one_principal(other: Ticket) -> None:
    """Nobody is judged by another's policies."""
    table = PolicyTable(ACTIONS)
    table.tell(holder())
    assert table.find(other) is None


def test_what_is_older_changes_nothing() -> None:
    """Notices may overtake each other."""
    table = PolicyTable(ACTIONS)
    denying = HolderPolicies(ANN, "AKIA1", 5, PolicySet(({"Statement": DENY},)), "*")
    table.tell(denying)
    table.tell(holder(4))
    found = table.find(ticket())
    assert found is not None
    assert found.may_deny("elastic-inference:Run")


def test_tickets_that_are_over() -> None:
    """Those of the version that ended and of earlier ones, and no later ones."""
    table = PolicyTable(ACTIONS)
    table.tell(holder(4, ended=3))
    for version in (1, 3):
        with pytest.raises(CredentialsError) as caught:
            table.find(ticket(version))
        assert caught.value.reason == "TICKET_REVOKED"
    assert table.find(ticket(4)) is not None


def test_policies_on_their_way_are_waited_for() -> None:
    """A ticket may be faster than the notice."""

    async def work() -> None:
        table = PolicyTable(ACTIONS)
        waiting = [asyncio.create_task(table.wait_for(ticket())) for _ in range(3)]
        await asyncio.sleep(0.05)
        await table.told(holder(key="AKIA2"))
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in waiting)
        await table.told(holder())
        assert all(one.holder.version == 1 for one in await asyncio.gather(*waiting))

    asyncio.run(asyncio.wait_for(work(), 10))


def test_without_policies_nobody_goes_on() -> None:
    """The refusal says that trying again may help."""
    table = PolicyTable(ACTIONS, wait_seconds=0.05)
    with pytest.raises(BusyError) as caught:
        asyncio.run(table.wait_for(ticket()))
    assert caught.value.retryable
    assert int(caught.value.fields["retry_after_ms"]) > 0


def test_holders_are_bounded() -> None:
    """The oldest is forgotten, which shuts its door rather than opening it."""
    table = PolicyTable(ACTIONS)
    for number in range(MAX_HOLDERS + 1):
        table.tell(holder(key=f"AKIA{number}"))
    assert table.find(ticket(key="AKIA0")) is None
    assert table.find(ticket(key=f"AKIA{MAX_HOLDERS}")) is not None
