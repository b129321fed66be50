"""The certificates of accelerators: what they name, and when a running process gets another."""

from __future__ import annotations

from datetime import timedelta

from accel_daemon.clock import Readings
from accel_daemon.pki.authority import Authority, Leaf, issue_leaf
from accel_daemon.supervisor.addresses import alternative_names

# The key exists only in the process's memory and is replaced at every start.
CERTIFICATE_DAYS = 397
# So long before its end that a year of failing attempts still leaves a good one.
ROTATED_AFTER = timedelta(days=30)


def issue_accelerator_leaf(
    authority: Authority, accelerator_id: str, *hosts: str, now: Readings
) -> Leaf:
    """A leaf that names an accelerator by its id, and the hosts that it is reached at."""
    names = alternative_names(*hosts)
    return issue_leaf(
        authority,
        name=accelerator_id,
        dns_names=names.dns_names,
        ip_addresses=names.ip_addresses,
        now=now.wall,
        days=CERTIFICATE_DAYS,
        steady=now.steady,
    )


def is_due(issued: Readings, now: Readings, after: timedelta = ROTATED_AFTER) -> bool:
    """Whether a certificate is to be replaced.

    So it is when it is old, by what passed or by the clock, or when the clock was set back behind
    it: whoever believes the clock then sees one that is not valid yet or soon not any more.
    """
    is_old = now.steady - issued.steady >= after
    return is_old or not timedelta(0) <= now.wall - issued.wall < after
