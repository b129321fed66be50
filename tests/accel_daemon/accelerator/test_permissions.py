"""What a Deny takes away at an accelerator, and that nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.gate import ACTIONS, RUN_ACTION
from accel_daemon.accelerator.permissions import (
    call_keys,
    find_denial,
    peer_address,
    understand,
)
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.principals import Principal
from accel_daemon.launch_order import HolderPolicies

ANN = Principal("ann", "000000000000")
PREFIX = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"
ARN = PREFIX + "eia-1"
GRAPH, OTHER_GRAPH = bytes(32), b"\x01" * 32
NOW = 1_770_000_000.0
CONNECT_ONLY = {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": "*"}


def document(*statements: dict[str, Any]) -> dict[str, object]:
    """A policy with these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def deny(action: Any = RUN_ACTION, resource: str = "*", **condition: Any) -> dict[str, Any]:
    """A Deny statement."""
    statement = {"Effect": "Deny", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def denial(
    *statements: dict[str, Any],
    action: str = RUN_ACTION,
    keys: dict[str, Any] | None = None,
    graph: bytes | None = GRAPH,
    source_ip: str | None = "10.0.0.1",
) -> str | None:
    """Why Ann's call is denied when her policies are Connect and these statements."""
    policies = PolicySet(identity=(document(CONNECT_ONLY), *(document(s) for s in statements)))
    holder = HolderPolicies(ANN, "AKIA", 1, policies, ARN, keys or {})
    return find_denial(understand(holder, ACTIONS), action, call_keys(NOW, source_ip, graph))


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_connect_alone_is_enough(action: str) -> None:
    """Policies written for the real service keep working for load and run."""
    assert denial(action=action) is None


@pytest.mark.parametrize("action", sorted(ACTIONS))
@pytest.mark.parametrize("named", ["exact", "elastic-inference:*", "*", "lower"])
def test_a_deny_takes_its_action_away(action: str, named: str) -> None:
    """By its name in any case, and by patterns."""
    text = {"exact": action, "lower": action.lower()}.get(named, named)
    assert denial(deny(text), action=action) == "Statement 1 denies it."


@pytest.mark.parametrize("action", sorted(ACTIONS - {RUN_ACTION}))
def test_a_deny_of_run_leaves_the_others(action: str) -> None:
    """Only what is named is denied."""
    assert denial(deny(), action=action) is None


def test_not_action_denies_what_it_does_not_name() -> None:
    """As everywhere in the language."""
    statement = {"Effect": "Deny", "NotAction": "elastic-inference:Connect", "Resource": "*"}
    assert denial(statement) is not None


TAGS = {"aws:ResourceTag/stage": "test", "elastic-inference:AcceleratorType": "eia2.large"}
CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"StringEquals": {"elastic-inference:GraphId": GRAPH.hex()}}, True),
    ({"StringEquals": {"elastic-inference:GraphId": OTHER_GRAPH.hex()}}, False),
    ({"StringNotEquals": {"elastic-inference:GraphId": OTHER_GRAPH.hex()}}, True),
    ({"StringEquals": {"aws:ResourceTag/stage": "test"}}, True),
    ({"StringEquals": {"aws:ResourceTag/stage": "production"}}, False),
    ({"StringLike": {"elastic-inference:AcceleratorType": "eia2.*"}}, True),
    ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, True),
    ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, False),
    ({"DateGreaterThan": {"aws:CurrentTime": "2026-01-01"}}, True),
    ({"NumericLessThan": {"aws:EpochTime": "1000"}}, False),
    ({"Bool": {"aws:SecureTransport": "true"}}, True),
    ({"StringEquals": {"aws:username": "ann"}}, True),
    ({"StringEquals": {"aws:username": "bob"}}, False),
    ({"ArnEquals": {"aws:PrincipalArn": ANN.arn}}, True),
]


@pytest.mark.parametrize(("condition", "denied"), CONDITIONS)
def test_conditions(condition: dict[str, Any], denied: bool) -> None:
    """Every condition key that is known about a call can be asked for."""
    assert (denial(deny(**condition), keys=TAGS) is not None) is denied


@pytest.mark.parametrize(
    ("resource", "denied"), [(ARN, True), (PREFIX + "eia-*", True), (PREFIX + "eia-2", False)]
)
def test_resources(resource: str, denied: bool) -> None:
    """The resource is the accelerator."""
    assert (denial(deny(resource=resource)) is not None) is denied


@pytest.mark.parametrize("where", ["boundary", "session"])
def test_a_deny_anywhere_counts(where: str) -> None:
    """Also in the permission boundary and in the session's policies."""
    limits: dict[str, Any] = {where: (document(CONNECT_ONLY, deny()),)}
    policies = PolicySet(identity=(document(CONNECT_ONLY),), **limits)
    understood = understand(HolderPolicies(ANN, "AKIA", 1, policies, ARN), ACTIONS)
    assert find_denial(understood, RUN_ACTION, {}) is not None


def test_policies_that_cannot_be_understood_deny_all() -> None:
    """The door stays shut."""
    policies = PolicySet(identity=({"Version": "1999-01-01"},))
    understood = understand(HolderPolicies(ANN, "AKIA", 1, policies, ARN), ACTIONS)
    assert all(understood.may_deny(action) for action in ACTIONS)
    assert find_denial(understood, RUN_ACTION, {}) is not None


def test_what_cannot_be_evaluated_is_denied() -> None:
    """A condition key that is there twice breaks the evaluation, where there is a Deny."""
    keys = {"aws:ResourceTag/a": "1", "aws:resourcetag/A": "2"}
    assert denial(deny(resource=PREFIX + "eia-2"), keys=keys) is not None
    assert denial(keys=keys) is None


def test_without_a_deny_nothing_is_evaluated() -> None:
    """A warm call costs one look into a table."""
    policies = PolicySet(identity=(document(CONNECT_ONLY, deny("elastic-inference:Unload")),))
    understood = understand(HolderPolicies(ANN, "AKIA", 1, policies, ARN), ACTIONS)
    assert not understood.may_deny(RUN_ACTION)
    assert understood.may_deny("elastic-inference:Unload")


def test_a_graph_that_is_none_is_not_known() -> None:
    """An id of another length is no value; a negated condition then still denies."""
    equal = deny(StringEquals={"elastic-inference:GraphId": "00"})
    unequal = deny(StringNotEquals={"elastic-inference:GraphId": "00"})
    assert denial(equal, graph=b"\x00") is None
    assert denial(unequal, graph=b"\x00") is not None


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:5432", "10.1.2.3"),
        ("ipv6:%5B::1%5D:5432", "::1"),
        ("ipv6:[::ffff:10.1.2.3]:5432", "10.1.2.3"),
        ("unix:/tmp/socket", None),
        ("", None),
        ("ipv4:", None),
        ("ipv4:host:1", None),
    ],
)
def test_peer_address(peer: str, address: str | None) -> None:
    """What is no address is no value."""
    assert peer_address(peer) == address


@given(st.text(max_size=60))
def test_no_peer_breaks_anything(peer: str) -> None:
    """Whatever gRPC calls a peer."""
    peer_address(peer)
