"""The audit log: who did what, on which accelerator, allowed or not, and why. Never a secret."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from accel_protocol.errors import ConfigurationError

AUDIT = logging.getLogger("accel.audit")


@dataclass(frozen=True)
class AuditRecord:
    """One decision.

    Attributes:
        who: ARN of the principal that was proven. Where nothing was proven, the access key id that
            was claimed, which is never an ARN, or "" where none was.
        action: for instance "elastic-inference:Connect"; "" for a route that there is not.
        accelerator: id of the accelerator, or "*".
        allowed: whether what was asked for was done, or may have been.
        reason: reason code of a refusal, and what the policies said.
        request_id: also in the answer to the caller.
        graph: hex digits of the graph that was named; "" where none was, and then not written.
    """

    who: str
    action: str
    accelerator: str
    allowed: bool
    reason: str
    request_id: str
    graph: str = ""


def audit(record: AuditRecord) -> None:
    """Write one line of JSON."""
    members = asdict(record)
    if not record.graph:
        del members["graph"]
    stamped = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **members}
    AUDIT.info("%s", json.dumps(stamped))


def left_out(count: int) -> AuditRecord:
    """The line that stands for refusals which were too many to write down."""
    return AuditRecord("", "", "*", False, f"{count} more lines were left out.", "")


def open_audit_log(path: Path) -> logging.Handler:
    """Append audit lines to a file of mode 0600, besides wherever logging goes anyway.

    Raises:
        ConfigurationError: the file cannot be opened; a daemon without audit log does not start.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        stream = open(os.open(path, flags, 0o600), "a", encoding="utf-8")  # noqa: SIM115
        os.fchmod(stream.fileno(), 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The audit log cannot be written: {error.strerror}.",
            remedy="Correct the permissions of the daemon's folder.",
        ) from None
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    AUDIT.addHandler(handler)
    AUDIT.setLevel(logging.INFO)
    return handler
