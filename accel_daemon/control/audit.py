"""The audit log: who did what, on which accelerator, allowed or not, and why. Never a secret."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from accel_protocol.errors import ConfigurationError

AUDIT = logging.getLogger("accel.audit")
_log = logging.getLogger(__name__)


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
    AUDIT.info("%s", _line(record))


def _line(record: AuditRecord) -> str:
    members = asdict(record)
    if not record.graph:
        del members["graph"]
    stamped = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **members}
    return json.dumps(stamped)


def left_out(count: int) -> AuditRecord:
    """The line that stands for decisions which could not, or need not, be written down."""
    return AuditRecord("", "", "*", False, f"{count} more lines were left out.", "")


def open_audit_log(path: Path) -> logging.Handler:
    """Append audit lines to a file of mode 0600, besides wherever logging goes anyway.

    Raises:
        ConfigurationError: the file cannot be opened; a daemon without audit log does not start.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The audit log cannot be written: {error.strerror}.",
            remedy="Correct the permissions of the daemon's folder.",
        ) from None
    handler = AuditFile(descriptor)
    AUDIT.addHandler(handler)
    AUDIT.setLevel(logging.INFO)
    return handler


class AuditFile(logging.Handler):
    """Whole lines only; how many a full disk cost is said once there is room again.

    Args:
        descriptor: of the file, for appending; closed with this.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._lost = descriptor, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line, and before it how many are lacking."""
        if self._lost and self._append(_line(left_out(self._lost))):
            self._lost = 0
        if self._lost or not self._append(record.getMessage()):
            self._lost += 1

    def _append(self, line: str) -> bool:
        """Whether the line is there; when not, nothing of it is."""
        data = line.encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        try:
            if os.write(self._descriptor, data) == len(data):
                return True
            why = "there is no room for a line"
        except OSError as error:
            why = str(error.strerror)
        if not self._lost:
            _log.error("the audit log cannot be written: %s", why)
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, before)
        return False

    def close(self) -> None:
        """Stop writing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()
