"""What the runs of one process came to, for the metrics: sums, and refusals by their reason.

Reasons are those of the table of errors and no others, so that no client can add a series.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from accel_protocol.errors import REASONS

REFUSED = "refused_"


@dataclass
class RunTotals:
    """Sums since the process started.

    Attributes:
        queue_us, compute_us: microseconds that runs waited and computed.
        bytes_in, bytes_out: of the messages of Run streams.
        hits: runs whose graph was loaded when they came.
        refusals: calls that were refused or failed, by reason code.
    """

    queue_us: int = 0
    compute_us: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    hits: int = 0
    refusals: Counter[str] = field(default_factory=Counter)

    def count(self, queue: float, compute: float, was_loaded: bool) -> None:
        """A run succeeded; times in seconds."""
        self.queue_us += max(0, round(queue * 1e6))
        self.compute_us += max(0, round(compute * 1e6))
        self.hits += was_loaded

    def refuse(self, reason: str) -> None:
        """A call on a Run stream did not succeed."""
        self.refusals[reason if reason in REASONS else "INTERNAL"] += 1

    def counters(self) -> dict[str, int]:
        """All of it, as the process reports it."""
        return {
            "queue_us": self.queue_us,
            "compute_us": self.compute_us,
            "run_bytes_in": self.bytes_in,
            "run_bytes_out": self.bytes_out,
            "cache_hits": self.hits,
            **{REFUSED + reason: count for reason, count in sorted(self.refusals.items())},
        }
