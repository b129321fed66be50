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
        limits: fields of `Limits` that differ from the default.
        allowed_ops: ops that the operator allows beside those always admitted, each with a reason.
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
    limits: dict[str, int] = field(default_factory=dict)
    allowed_ops: dict[str, str] = field(default_factory=dict)

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> LaunchOrder:
        """Read what `to_line` wrote."""
        return LaunchOrder(**json.loads(line))


@dataclass(frozen=True)
class Notice:
    """Supervisor to process: keys and principals whose tickets end now, or an order to drain."""

    kind: Literal["revoke", "drain"]
    access_key_ids: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        """One line of JSON, ending in a newline."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @staticmethod
    def from_line(line: bytes) -> Notice:
        """Read what `to_line` wrote."""
        value = json.loads(line)
        return Notice(value["kind"], tuple(value["access_key_ids"]), tuple(value["principals"]))


@dataclass(frozen=True)
class Report:
    """Process to supervisor: it accepts requests now, its counters, or why it could not start.

    Attributes:
        kind: "ready" (once), "status" (about once a second while something changes), "failed".
        port: where it listens ("ready").
        counters: fields of `accel.v1.Counters` plus "graphs", "memory_bytes", "streams"
            and "calls" (in progress).
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
