"""What is done next for one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_runtime.serving.models.lifecycle import State, Version
from client_runtime.serving.models.plan import Swap, next_step
from client_runtime.serving.servable import ServableId

_LOAD, _UNLOAD = State.LOADING, State.UNLOADING


def _version(text: str) -> Version:
    """From "3 AVAILABLE aspired" or "3 LOADING abandoned"."""
    number, state, *rest = text.split()
    return Version(
        ServableId("m", int(number)),
        Path("/m"),
        since=0.0,
        state=State[state],
        aspired="aspired" in rest,
        abandoned_at=100.0 if "abandoned" in rest else None,
        wait_for_users_until=100.0 if state == "UNLOADING" else None,
    )


def _next(swap: Swap, now: float, versions: str) -> tuple[State, int] | None:
    step = next_step([_version(text) for text in versions.split(", ")], swap, now, 60.0)
    return step and (step.action, step.version.id.version)


@pytest.mark.parametrize(
    ("versions", "step"),
    [
        ("2 END, 3 AVAILABLE aspired, 4 START aspired, 5 START aspired", (_LOAD, 5)),
        ("2 END, 3 AVAILABLE, 4 AVAILABLE aspired, 5 START aspired", (_UNLOAD, 3)),
        ("1 END, 2 AVAILABLE, 3 END", (_UNLOAD, 2)),
        ("1 AVAILABLE aspired, 2 END aspired, 3 LOADING aspired, 4 UNLOADING, 5 END", None),
        ("1 AVAILABLE, 2 LOADING aspired", None),
        ("1 AVAILABLE, 2 END aspired", None),
        ("1 AVAILABLE, 2 START aspired", (_LOAD, 2)),
        ("1 AVAILABLE, 2 LOADING aspired, 3 AVAILABLE aspired", (_UNLOAD, 1)),
        ("1 AVAILABLE, 2 END aspired, 3 AVAILABLE aspired", (_UNLOAD, 1)),
        ("2 AVAILABLE, 1 AVAILABLE, 3 END aspired, 4 LOADING aspired", (_UNLOAD, 1)),
        ("1 START", None),
        ("1 UNLOADING, 2 START aspired", (_LOAD, 2)),
        ("1 UNLOADING, 2 AVAILABLE aspired, 3 START aspired", None),
        ("1 AVAILABLE, 2 UNLOADING aspired", None),
    ],
)
def test_availability_is_kept(versions: str, step: tuple[State, int] | None) -> None:
    """The new one first, the highest first; the old ones, lowest first, when another answers."""
    assert _next(Swap.LOAD_FIRST, 100.0, versions) == step


@pytest.mark.parametrize(
    ("versions", "step"),
    [
        ("1 AVAILABLE, 2 START aspired", (_UNLOAD, 1)),
        ("1 UNLOADING, 2 START aspired", None),
        ("1 END, 2 START aspired", (_LOAD, 2)),
        ("1 AVAILABLE aspired, 2 START aspired", (_LOAD, 2)),
        ("1 AVAILABLE, 2 END aspired", None),
    ],
)
def test_memory_may_be_tight(versions: str, step: tuple[State, int] | None) -> None:
    """The old one goes before the new one comes, and has gone; not for one that has failed."""
    assert _next(Swap.UNLOAD_FIRST, 100.0, versions) == step


@pytest.mark.parametrize(("now", "step"), [(159.0, None), (160.0, (_LOAD, 3))])
@pytest.mark.parametrize("leaving", ["1 AVAILABLE, 2 LOADING abandoned", "1 UNLOADING"])
def test_what_leaves_is_waited_for(
    leaving: str, now: float, step: tuple[State, int] | None
) -> None:
    """So that no third generation takes memory; but not for ever."""
    aspired = "2 AVAILABLE aspired" if leaving == "1 UNLOADING" else "4 END aspired"
    assert _next(Swap.LOAD_FIRST, now, f"{leaving}, {aspired}, 3 START aspired") == step


def test_nobody_waits_where_nothing_answers() -> None:
    """A load that was given up holds up nothing then."""
    versions = "2 LOADING abandoned, 3 START aspired"
    assert _next(Swap.LOAD_FIRST, 100.0, versions) == (_LOAD, 3)
