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

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> LaunchOrder:
        """Read what `to_line` wrote."""
        return LaunchOrder(**json.loads(line))


@dataclass(frozen=True)
class Notice:
    """Supervisor to process: whose tickets end now, which faults hold, or an order to drain.

    Attributes:
        kind: "revoke", "drain", "faults".
        access_key_ids, principals: of the tickets ("revoke").
        faults: all faults that hold from now on, as `accel_daemon.faults.board` tells them.
        version: of the faults; the process says which it has taken over ("faults_version").
    """

    kind: Literal["revoke", "drain", "faults"]
    access_key_ids: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    version: int = 0

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Notice:
        """Read what `to_line` wrote."""
        value = json.loads(line)
        return Notice(
            kind=value["kind"],
            access_key_ids=tuple(value.get("access_key_ids", ())),
            principals=tuple(value.get("principals", ())),
            faults=tuple(value.get("faults", ())),
            version=value.get("version", 0),
        )


@dataclass(frozen=True)
class Report:
    """Process to supervisor: it accepts requests now, its counters, or why it could not start.

    Attributes:
        kind: "ready" (once), "status" (about once a second while something changes), "failed".
        port: where it listens ("ready").
        counters: fields of `accel.v1.Counters` plus "graphs", "memory_bytes", "streams"
            and "calls" (in progress); where faults are allowed, "faults_version" and "fault_ID".
        message: why it failed, for the operator.
    """

    kind: Literal["ready", "status", "failed"]
    port: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    message: str = ""

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Report:
        """Read what `to_line` wrote."""
        value: dict[str, Any] = json.loads(line)
        return Report(**value)
