"""Which sources were asked for an accelerator, in order, and what each of them said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One source that was asked.

    Attributes:
        source: what was asked, for instance "ACCEL_ENDPOINT" or a file's path.
        outcome: a clause: what was found there, or why the source was skipped.
    """

    source: str
    outcome: str


Trail = tuple[Step, ...]


def as_sentence(trail: Sequence[Step]) -> str:
    """The trail in one line, for an error's message."""
    return "; ".join(f"{step.source} ({step.outcome})" for step in trail)


def printable(text: str, limit: int = 60) -> str:
    """What a stranger wrote, cut and without anything that a terminal would obey."""
    cut = text if len(text) <= limit else f"{text[:limit]}…"
    return "".join(one if one.isprintable() else "?" for one in cut)
