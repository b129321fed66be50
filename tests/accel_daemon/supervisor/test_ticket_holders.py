"""Who is remembered as a holder of tickets, and for how long."""

from __future__ import annotations

from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import MAX_TICKET_SECONDS
from accel_daemon.launch_order import HolderPolicies
from accel_daemon.supervisor.ticket_holders import (
    MAX_HOLDERS,
    Holding,
    TicketHolders,
    ticket_end,
)

ANN = Principal("ann", "000000000000")


def holding(key: str = "AKIA1", version: int = 1, until: float = 100.0) -> Holding:
    """A holder whose last ticket ends then."""
    told = HolderPolicies(ANN, key, version, PolicySet(), "*")
    return Holding(told, lambda identities: None, {}, until)


def test_a_holder_is_found_and_replaced() -> None:
    """The newest of what was noted counts."""
    holders = TicketHolders()
    holders.put(holding(version=1))
    holders.put(holding(version=2))
    found = holders.find(ANN.arn, "AKIA1")
    assert found is not None
    assert found.told.version == 2
    assert len(holders.live(0)) == 1


def test_holders_without_tickets_are_forgotten() -> None:
    """A process that starts later need not know them."""
    holders = TicketHolders()
    holders.put(holding("AKIA1", until=100))
    holders.put(holding("AKIA2", until=200))
    assert [one.told.access_key_id for one in holders.live(100)] == ["AKIA2"]
    assert holders.find(ANN.arn, "AKIA1") is None


def test_a_ticket_ends_within_the_time_it_is_remembered() -> None:
    """Whoever has a good ticket is known."""
    assert ticket_end(0) > MAX_TICKET_SECONDS


def test_holders_are_bounded() -> None:
    """The oldest makes room."""
    holders = TicketHolders()
    for number in range(MAX_HOLDERS + 1):
        holders.put(holding(f"AKIA{number}"))
    assert len(holders.live(0)) == MAX_HOLDERS
    assert holders.find(ANN.arn, "AKIA0") is None


def test_versions_rise_also_over_tenants() -> None:
    """A ticket of an earlier tenancy never names a later version."""
    holders = TicketHolders()
    first = holders.next_version()
    holders.put(holding())
    holders.clear()
    assert holders.live(0) == ()
    assert holders.next_version() > first
