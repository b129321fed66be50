"""Which graphs have brought their process down, and which of them are not to be tried again. Pure.

A graph that was alone at work when its process came down gets a strike. Of several one is to blame,
and nobody knows which: they are suspects, and a suspect that is there again gets a strike. So a
graph that is always there when a process comes down is found out one crash later, and one that was
beside it by chance is not struck.

Counted for each principal on its own: nobody learns from a refusal that somebody else has a graph,
and nobody can have another's graph refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_STRIKES = 2
FORGET_SECONDS = 3600.0
_MOST_REMEMBERED = 1024


@dataclass
class _Count:
    number: int
    why: str
    last: float


@dataclass
class Strikes:
    """Strikes by principal and graph id, each forgotten an hour after the latest one."""

    _counts: dict[tuple[str, bytes], _Count] = field(default_factory=dict)

    def strike(
        self, principal: str, blame: Mapping[bytes, str], now: float, *, is_certain: bool = False
    ) -> None:
        """One of these graphs of a principal brought its process down, for these reasons.

        Args:
            principal: ARN of the tenant.
            blame: what was seen of each graph, by its id.
            now: seconds of a clock.
            is_certain: all of them did.
        """
        self._forget(now)
        is_certain = is_certain or len(blame) == 1
        for graph_id, why in blame.items():
            known = self._counts.pop((principal, graph_id), None)
            number = (known.number if known else 0) + (is_certain or known is not None)
            while len(self._counts) >= _MOST_REMEMBERED:
                self._counts.pop(next(iter(self._counts)))
            self._counts[principal, graph_id] = _Count(number, why, now)

    def quarantined(self, principal: str | None, now: float) -> dict[str, str]:
        """Why, by the hexadecimal id of each graph of a principal that is not tried again."""
        self._forget(now)
        return {
            graph_id.hex(): count.why
            for (who, graph_id), count in self._counts.items()
            if who == principal and count.number >= MOST_STRIKES
        }

    def suspected(self, principal: str | None, now: float) -> list[str]:
        """The hexadecimal ids of a principal's graphs that were there when a process came down."""
        self._forget(now)
        return [graph_id.hex() for who, graph_id in self._counts if who == principal]

    def _forget(self, now: float) -> None:
        self._counts = {
            key: one for key, one in self._counts.items() if now - one.last < FORGET_SECONDS
        }
