"""How a sandbox is described."""

from __future__ import annotations

import pytest

from accel_daemon.sandbox.levels import Level, SandboxReport, level_in, weakest_level


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (SandboxReport(Level.OFF), "off"),
        (SandboxReport(Level.STRICT, 7, True, 5), "strict (Landlock 7, seccomp, own user)"),
        (SandboxReport(Level.STRICT, 4, True), "strict (Landlock 4, seccomp)"),
        (
            SandboxReport(Level.BEST_EFFORT, 2, True, None, ("Landlock for TCP",)),
            "best-effort (Landlock 2, seccomp; without Landlock for TCP)",
        ),
        (
            SandboxReport(Level.BEST_EFFORT, 0, False, None, ("Landlock", "seccomp")),
            "best-effort (limits only; without Landlock, seccomp)",
        ),
    ],
)
def test_text_begins_with_the_level(report: SandboxReport, text: str) -> None:
    """And says what is in force and what is not."""
    assert report.to_text() == text
    assert level_in(text) is report.level


@pytest.mark.parametrize("text", ["", " ", "none", "stricter", "Strict"])
def test_other_texts_hold_no_level(text: str) -> None:
    """A process may write anything."""
    assert level_in(text) is None


def test_weakest_level() -> None:
    """One accelerator without a sandbox is what counts."""
    assert weakest_level(["strict (x)", "off", "best-effort (y)"]) == "off"
    assert weakest_level(["strict (x)", "best-effort (y)", ""]) == "best-effort"
    assert weakest_level(["strict (x)"]) == "strict"
    assert weakest_level([""]) is None
