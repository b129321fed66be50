"""What became of a request: for logs, metrics and the client.

Pure.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from accel_protocol.errors import Status

_REQUEST_ID = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True)
class Outcome:
    """One request that is over.

    Attributes:
        request_id: as the client sent it, or made here; also in the answer.
        method, path: its line, as sent.
        model: its name; "" where the path names none.
        api: "predict", "classify", "regress", "status", "metadata", or "" for none of these.
        version: of the model that answered; None where none did.
        error: how it ended; None for OK.
        http_status: of the answer; 499 if the client left before it.
        seconds: from its head to the answer.
        received, sent: bytes of the bodies, as they were sent.
    """

    request_id: str
    method: str
    path: str
    model: str
    api: str
    version: int | None
    error: Status | None
    http_status: int
    seconds: float
    received: int
    sent: int


def request_id(sent: str) -> str:
    """A request's id: the one that the client sent if it is printable and short, or a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
