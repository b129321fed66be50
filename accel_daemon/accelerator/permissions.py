"""What the owner of a ticket may do at this accelerator. Pure.

Whoever has a ticket may do everything that an accelerator offers: policies written for the real
service name Connect and nothing else. Only an explicit Deny that applies takes something away. So
when policies arrive they are reduced to the Deny statements that name each action, and where there
are none a call costs one look into a table.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from accel_daemon.iam.evaluation import Policy, Statement, judge_all
from accel_daemon.iam.policy_set import Rules
from accel_daemon.iam.request_context import AccessRequest
from accel_daemon.launch_order import HolderPolicies

GRAPH_ID_BYTES = 32


@dataclass(frozen=True)
class Understood:
    """The policies of one holder of tickets, ready for decisions.

    Attributes:
        holder: what the supervisor said.
        denials: the Deny statements that name an action, by action; None when the policies cannot
            be understood, which denies all.
    """

    holder: HolderPolicies
    denials: Mapping[str, tuple[Statement, ...]] | None

    def may_deny(self, action: str) -> bool:
        """Whether any policy has something against this action, under some condition."""
        return self.denials is None or action in self.denials


def understand(holder: HolderPolicies, actions: frozenset[str]) -> Understood:
    """Find the Deny statements for each of these actions."""
    rules = holder.policies.rules()
    if rules is None:
        return Understood(holder, None)
    denies = [one for one in _statements(rules) if one.effect == "Deny"]
    named = {action: tuple(s for s in denies if s.names_action(action)) for action in actions}
    return Understood(holder, {action: found for action, found in named.items() if found})


def find_denial(understood: Understood, action: str, keys: Mapping[str, str]) -> str | None:
    """Why a call is denied; None when it is not. Never raises: what goes wrong is a denial.

    Args:
        understood: the caller's policies.
        action: for instance "elastic-inference:Run".
        keys: condition keys of this call, see `call_keys`.
    """
    if understood.denials is None:
        return "The policies cannot be understood."
    statements = understood.denials.get(action, ())
    if not statements:
        return None
    holder = understood.holder
    try:
        context = {**holder.keys, **keys}
        request = AccessRequest(holder.principal, action, holder.resource_arn, context)
        for judgement in judge_all((Policy(statements),), request):
            if judgement.applies:
                return f"{judgement.statement.label} denies it."
    except Exception:  # The door stays shut, whatever broke its lock.
        return "The policies could not be evaluated."
    return None


def call_keys(now: float, source_ip: str | None, graph_id: bytes | None) -> Mapping[str, str]:
    """What policies may ask about one call; a key whose value is not known is missing.

    Args:
        now: seconds since the epoch.
        source_ip: where the connection came from.
        graph_id: of the graph that the call names.
    """
    known = {
        "aws:CurrentTime": datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds"),
        "aws:EpochTime": str(int(now)),
        "aws:SecureTransport": "true",  # there is no other port
    }
    if source_ip is not None:
        known["aws:SourceIp"] = source_ip
    if graph_id is not None and len(graph_id) == GRAPH_ID_BYTES:
        known["elastic-inference:GraphId"] = graph_id.hex()
    return known


def peer_address(peer: str) -> str | None:
    """The IP address in gRPC's name of a peer, "ipv4:HOST:PORT" or "ipv6:%5BHOST%5D:PORT"."""
    kind, _, rest = peer.partition(":")
    host = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address) if kind in ("ipv4", "ipv6") else None


def _statements(rules: Rules) -> Iterator[Statement]:
    for policies in (rules.identity, rules.boundary or (), rules.session or ()):
        for policy in policies:
            yield from policy.statements
