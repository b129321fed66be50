"""What to do next for one model: which version to load, which to unload.

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import NamedTuple

from client_runtime.serving.models.lifecycle import State, Version


class Swap(enum.Enum):
    """What comes first when versions follow each other.

    Attributes:
        LOAD_FIRST: the new one is loaded before the old one goes, so that one always answers.
        UNLOAD_FIRST: the old one goes first; for memory that has no room for two.
    """

    LOAD_FIRST = enum.auto()
    UNLOAD_FIRST = enum.auto()


class Step(NamedTuple):
    """Load a version, or unload it."""

    action: State
    version: Version


def next_step(versions: Sequence[Version], swap: Swap, now: float, patience: float) -> Step | None:
    """The next thing to do for one model; None: nothing, for now.

    While something answers, a new version waits until those that leave have left, so that no more
    than two generations take memory. For one that should have left, it waits no longer than
    `patience` seconds.
    """
    old = [v for v in versions if v.state is State.AVAILABLE and not v.aspired]
    new = [v for v in versions if v.state is State.START and v.aspired]
    if old and (_may_unload(versions, old) or (new and swap is Swap.UNLOAD_FIRST)):
        return Step(State.UNLOADING, min(old, key=_number))
    if new and not _must_wait(versions, swap, now, patience):
        return Step(State.LOADING, max(new, key=_number))
    return None


def _number(version: Version) -> int:
    return version.id.version


def _may_unload(versions: Sequence[Version], old: Sequence[Version]) -> bool:
    """Whether something still answers without one of `old`, or nothing is to answer any more."""
    aspired = [v for v in versions if v.aspired]
    return not aspired or len(old) > 1 or any(v.state is State.AVAILABLE for v in aspired)


def _must_wait(versions: Sequence[Version], swap: Swap, now: float, patience: float) -> bool:
    leaves = [until for v in versions if (until := v.leaves_until(patience)) is not None]
    answers = any(v.state is State.AVAILABLE for v in versions)
    return any(now < until for until in leaves) and (answers or swap is Swap.UNLOAD_FIRST)
