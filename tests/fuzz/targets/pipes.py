"""What the daemon and its processes say to each other, and faults on demand."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from accel_daemon.accelerator.disturbances import Disturbances, ending
from accel_daemon.accelerator.gate import ACTIONS
from accel_daemon.accelerator.permissions import call_keys, find_denial, peer_address
from accel_daemon.accelerator.policy_table import PolicyTable
from accel_daemon.faults.board import FaultBoard, Place
from accel_daemon.faults.fault import parse_fault
from accel_daemon.faults.plan import Event, FaultPlan, Moment
from accel_daemon.iam.callers import Principal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.tickets import Ticket
from accel_daemon.launch_order import (
    AuditedDecision,
    HolderPolicies,
    LaunchOrder,
    Notice,
    Report,
)
from accel_daemon.supervisor.process_reports import MAX_MESSAGE_CHARACTERS, read_report
from tests.fuzz.mutation import change_json, change_text, json_bytes, one_of
from tests.fuzz.oracle import Setting, Target, check_texts
from tests.fuzz.targets.access import ACCELERATOR, ACCOUNT, ARN, KEY_ID, POLICIES

# What a reader of lines that only the daemon's own processes write may raise: the process that gets
# such a line ends, as it must when it can no longer hear of revocations.
MALFORMED = (
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
    OverflowError,  # an integer where a float belongs
)

FAULTS: list[dict[str, Any]] = [
    {"kind": "drop", "probability": 0.3, "seed": 7, "messages": 3},
    {"kind": "drop", "when": "after", "count": 2},
    {"kind": "slow", "latency_ms": 10, "jitter_ms": 5.5, "bytes_per_second": 1000},
    {"kind": "unavailable", "accelerator": 0, "seconds": 5},
    {"kind": "unhealthy", "accelerator": ACCELERATOR, "probability": 1},
    {"kind": "memory-pressure", "bytes": 1_000_000},
    {"kind": "expired-credentials", "at": "both", "count": 1},
    {"kind": "clock-skew", "offset_seconds": -7200.5, "seconds": 5},
]


def report_target(setting: Setting) -> Target:
    """Lines of an accelerator's process, in which strangers' graphs run: never an exception."""
    decision = AuditedDecision("arn:x", "elastic-inference:Run", True, "why", "id", "ab")
    seeds = [
        Report("ready", port=1234),
        Report("status", counters={"runs": 3, "graphs": 1, "faults_version": 2}),
        Report("failed", message="it\x1b[2J failed"),
        Report("audit", decision=decision),
    ]
    documents = [json.loads(one.to_line()) for one in seeds]

    def check(line: bytes) -> None:
        report = read_report(line)
        if report is not None:
            texts = [report.message, *(vars(report.decision).values() if report.decision else ())]
            for text in texts:
                if isinstance(text, str):
                    assert text.isprintable()
                    assert len(text) <= MAX_MESSAGE_CHARACTERS
            report.to_line()

    return Target(
        lambda chance: json_bytes(chance, one_of(chance, documents)), check, refuses=False
    )


def notice_target(setting: Setting) -> Target:
    """Notices and launch orders, and what a process then does with a notice."""
    policies = PolicySet(tuple(POLICIES), (POLICIES[0],), (POLICIES[1],))
    holder = HolderPolicies(Principal("ann", ACCOUNT), KEY_ID, 3, policies, ARN, {"a:b": "c"})
    told = tuple(
        {"id": str(place), "place": "0", "until": None, "fault": one}
        for place, one in enumerate(FAULTS)
    )
    order = LaunchOrder(ACCELERATOR, "host", "::1", 0, "c", setting.secret, "p", 1, "/store")
    seeds = [
        Notice("policies", holder=holder),
        Notice("revoke", access_key_ids=(KEY_ID,), principals=("arn:x",)),
        Notice("faults", faults=told, version=4),
        Notice("drain"),
        order,
    ]
    documents = [json.loads(one.to_line()) for one in seeds]
    ticket = Ticket("arn:aws:iam::1:user/ann", ACCOUNT, ACCELERATOR, KEY_ID, 1, 1, 2, "j")

    def check(line: bytes) -> None:
        if b'"accelerator_type"' in line:
            LaunchOrder.from_line(line)
            return
        notice = Notice.from_line(line)
        if notice.holder is not None:
            table = PolicyTable(ACTIONS)
            table.tell(notice.holder)
            table.find(ticket)
            for known in table._known.values():
                for action in ACTIONS:
                    find_denial(known, action, call_keys(1e9, "10.0.0.1", bytes(32)))
        if notice.faults:
            disturbances = Disturbances(lambda: 1e9)
            ending(disturbances.adopt(notice.faults))
            disturbances.prune()
            disturbances.counters()

    return Target(
        lambda chance: json_bytes(chance, one_of(chance, documents)), check, allowed=MALFORMED
    )


def fault_target(setting: Setting) -> Target:
    """Faults as JSON objects and as texts, put on the board, told and struck with."""
    texts = [parse_fault(one).to_text() for one in FAULTS]

    def make(chance: random.Random) -> Any:
        if chance.random() < 0.3:
            return change_text(chance, one_of(chance, texts))
        document = change_json(chance, one_of(chance, FAULTS))
        return document if isinstance(document, dict) else {}

    def check(value: Any) -> None:
        fault = parse_fault(value)
        assert parse_fault(fault.to_document()) == fault
        assert parse_fault(fault.to_text()) == fault
        board, place = FaultBoard(lambda: 1e9), Place(ACCELERATOR, 0)
        board.inject(fault, None)
        json.dumps(board.told(place), allow_nan=False)
        Disturbances(lambda: 1e9).adopt(board.told(place))  # type: ignore[arg-type]
        plan = FaultPlan(fault, "0")
        for moment in Moment:
            plan.decide(Event(moment, size=1 << 20, number=1), 1e9)

    return Target(make, check)


def peer_target(setting: Setting) -> Target:
    """GRPC's names of peers."""
    seeds = ["ipv4:10.0.0.1:5000", "ipv6:%5B::1%5D:5000", "ipv6:%5Bfe80::1%25eth0%5D:1", "unix:x"]

    def check(peer: str) -> None:
        address = peer_address(peer)
        check_texts([address or ""])

    return Target(lambda chance: change_text(chance, one_of(chance, seeds)), check, refuses=False)


def waiting_target(setting: Setting) -> Target:
    """Tickets of any version meet a table of policies: found, refused or waited for."""
    loop = asyncio.new_event_loop()
    setting.stack.callback(loop.close)
    policies = PolicySet((POLICIES[0],))
    principal = Principal("ann", ACCOUNT)

    def make(chance: random.Random) -> tuple[int, int, int]:
        return chance.randrange(4), chance.randrange(-1, 4), chance.randrange(4)

    def check(value: tuple[int, int, int]) -> None:
        version, ended, asked = value
        table = PolicyTable(ACTIONS, wait_seconds=0)
        table.tell(HolderPolicies(principal, KEY_ID, version, policies, ARN, {}, ended))
        ticket = Ticket(principal.arn, ACCOUNT, ACCELERATOR, KEY_ID, 1, 1, 2, "j", (), asked)
        known = loop.run_until_complete(table.wait_for(ticket))
        assert ended < asked <= known.holder.version

    return Target(make, check, share=0.02)


TARGETS = {
    "process reports": report_target,
    "launch orders and notices": notice_target,
    "faults": fault_target,
    "peer names": peer_target,
    "policies table": waiting_target,
}
