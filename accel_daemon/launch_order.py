"""What the supervisor and an accelerator process say to each other, over the process's own pipes.

The supervisor writes one LaunchOrder as a line of JSON to the process's standard input, and later
Notices. The process writes Reports as lines of JSON to its standard output. End of file on
standard input means that the supervisor is gone, and the process ends. Nothing secret ever stands
in an argument or in the environment, where other processes could read it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from accel_daemon.iam.callers import AnyPrincipal, read_principal
from accel_daemon.iam.policy_set import PolicySet
from accel_daemon.iam.request_context import ContextValue

# Exit status of a process that has ended itself before the kernel would have, for want of memory.
OUT_OF_MEMORY = 81
# Of one line from the supervisor. What limits a caller stands in one; see HolderPolicies.
MAX_ORDER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class LaunchOrder:
    """All that one accelerator process is told.

    Attributes:
        accelerator_id: "eia-" and 32 hexadecimal digits; the audience of its tickets.
        accelerator_type: "host", "eia1.medium", …
        host, port: where to listen; port 0 lets the system choose.
        certificate_pem, private_key_pem: its TLS leaf (and chain) and key.
        ticket_public_key_pem: what tickets are verified with.
        tenancy: rises with every new tenant; tickets of another tenancy are refused.
        store: folder for its tenants' model bundles.
        engine: "tensorflow".
        allow_faults: whether it takes notices of faults on demand.
        limits: fields of `Limits` that differ from the default.
        paced: whether runs take as long as the type's published throughput would have them.
        scratch: folder that its process may scribble in; by default `scratch` beside the store.
        sandbox: "strict", "best-effort" or "off".
        allowed_ops: ops that the operator allows beside those always admitted, each with a reason.
        load_seconds, run_seconds: how long an engine may load a graph, or run it, before its
            process is ended.
        quarantined: graphs of the tenant that are not tried again, and why, by hexadecimal id.
        compiled: whether graphs are compiled where a compiling engine is installed.
        batched: whether calls of a graph may be answered together.
        precision: what graphs may be computed in: "f32", "bf16" or "f16".
        uncompiled: graphs of the tenant that are not compiled, because they were at work when a
            process came down, by hexadecimal id.
        clock_anchor: of the supervisor's `Clock`, so that both agree on how old a ticket is.
        memory_bytes: what its process may take for itself; None for what the machine has.
        lane_port: where lanes listen; 0 lets the system choose, None for no lanes.
    """

    accelerator_id: str
    accelerator_type: str
    host: str
    port: int
    certificate_pem: str
    private_key_pem: str = field(repr=False)
    ticket_public_key_pem: str
    tenancy: int
    store: str
    engine: str = "tensorflow"
    allow_faults: bool = False
    limits: dict[str, int] = field(default_factory=dict)
    paced: bool = False
    scratch: str = ""
    sandbox: str = "strict"
    allowed_ops: dict[str, str] = field(default_factory=dict)
    load_seconds: float = 300.0
    run_seconds: float = 600.0
    quarantined: dict[str, str] = field(default_factory=dict)
    compiled: bool = False
    batched: bool = False
    precision: str = "f32"
    uncompiled: list[str] = field(default_factory=list)
    clock_anchor: float | None = None
    memory_bytes: int | None = None
    lane_port: int | None = None

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> LaunchOrder:
        """Read what `to_line` wrote."""
        return LaunchOrder(**json.loads(line))


@dataclass(frozen=True)
class HolderPolicies:
    """What limits the tickets of one access key at this accelerator.

    Attributes:
        principal: who holds them.
        access_key_id: which key asked for them.
        version: rises whenever something here changes; a ticket names the version it was issued
            under, and is not looked at before that one or a later one is here.
        ended: tickets of this version, or of an earlier one, are over: Connect would be refused.
        policies: documents of the user or role.
        resource_arn: the accelerator's, as policies name it.
        keys: condition keys that stay the same from call to call: the accelerator's type and tags.
    """

    principal: AnyPrincipal
    access_key_id: str
    version: int
    policies: PolicySet
    resource_arn: str
    keys: dict[str, ContextValue] = field(default_factory=dict)
    ended: int = -1

    @staticmethod
    def from_json(value: dict[str, Any]) -> HolderPolicies:
        """Read what asdict wrote."""
        identity, boundary, session = (
            None if value["policies"][name] is None else tuple(value["policies"][name])
            for name in ("identity", "boundary", "session")
        )
        read = {
            "principal": read_principal(value["principal"]),
            "policies": PolicySet(identity or (), boundary, session),
        }
        return HolderPolicies(**{**value, **read})


@dataclass(frozen=True)
class Notice:
    """Supervisor to process.

    Attributes:
        kind: "revoke" ends tickets now; "drain" orders to end; "policies" says what limits tickets;
            "certificate" replaces the TLS leaf that new connections are shown.
        access_key_ids, principals: whose tickets end ("revoke").
        holder: whose tickets are limited how ("policies").
        faults: all that hold from now on, as `accel_daemon.faults.board` tells them ("faults").
        version: of the faults; the process says which it has taken over ("faults_version").
        certificate_pem, private_key_pem: the new leaf (and chain) and its key ("certificate").
    """

    kind: Literal["revoke", "drain", "policies", "faults", "certificate"]
    access_key_ids: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    holder: HolderPolicies | None = None
    faults: tuple[dict[str, Any], ...] = ()
    version: int = 0
    certificate_pem: str = ""
    private_key_pem: str = field(default="", repr=False)

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Notice:
        """Read what `to_line` wrote."""
        value = json.loads(line)
        holder = value.get("holder")
        return Notice(
            kind=value["kind"],
            access_key_ids=tuple(value.get("access_key_ids", ())),
            principals=tuple(value.get("principals", ())),
            holder=None if holder is None else HolderPolicies.from_json(holder),
            faults=tuple(value.get("faults", ())),
            version=value.get("version", 0),
            certificate_pem=value.get("certificate_pem", ""),
            private_key_pem=value.get("private_key_pem", ""),
        )


@dataclass(frozen=True)
class AuditedDecision:
    """One decision of an accelerator's gate, for the daemon's audit log.

    Attributes:
        who: ARN of the principal; for a ticket that proves nothing, the access key id that it
            claims, or "".
        action: for instance "elastic-inference:Run"; "" for a method that there is not.
        allowed: the decision.
        reason: reason code of a refusal and what the policies said.
        request_id: also in the answer to the caller.
        graph: hex digits of the graph that was named; "" where none was.
    """

    who: str
    action: str
    allowed: bool
    reason: str
    request_id: str
    graph: str = ""


def left_out(count: int) -> AuditedDecision:
    """The line that stands for decisions which were too many to write down."""
    return AuditedDecision("", "", False, f"{count} more lines were left out.", "")


@dataclass(frozen=True)
class Report:
    """Process to supervisor: it accepts requests, its counters, why it failed, what it decided.

    Attributes:
        kind: "ready" (once), "status" (about once a second while something changes), "failed",
            "audit" (at a bounded rate).
        port: where it listens ("ready").
        lane_port: where its lanes do; 0 where it has none ("ready").
        local_lane: the name of its lanes on this host; "" where it has none ("ready").
        counters: fields of `accel.v1.Counters` plus "graphs", "memory_bytes", "streams"
            and "calls" (in progress); where faults are allowed, "faults_version" and "fault_ID".
        message: why it failed, for the operator.
        decision: what was decided ("audit").
        sandbox: what confines the process, as `SandboxReport.to_text` says it ("ready").
    """

    kind: Literal["ready", "status", "failed", "audit"]
    port: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    message: str = ""
    decision: AuditedDecision | None = None
    sandbox: str = ""
    lane_port: int = 0
    local_lane: str = ""

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Report:
        """Read what `to_line` wrote."""
        value: dict[str, Any] = json.loads(line)
        if value.get("decision") is not None:
            value["decision"] = AuditedDecision(**value["decision"])
        return Report(**value)
