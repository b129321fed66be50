"""A daemon that refuses a request for the clock of who signed it says what its own one shows. Pure.

Who is refused so can sign again with that time: the answer came over TLS, from a daemon that proved
its identity, and a signature is good at that daemon only.
"""

from __future__ import annotations

from datetime import datetime

from accel_protocol.errors import AcceleratorError

# The daemon's clock may be set just between two attempts, and see `accel_daemon.iam.replays`.
MOST_CORRECTIONS = 2

_REASON = "CLOCK_SKEW"
_FIELD = "server_time"


def server_time(error: AcceleratorError) -> datetime | None:
    """What the daemon's clock showed, aware; None for other errors, and for what is no time."""
    if error.reason != _REASON:
        return None
    try:
        told = datetime.fromisoformat(error.fields.get(_FIELD, ""))
    except ValueError:
        return None
    return told if told.tzinfo is not None else None
