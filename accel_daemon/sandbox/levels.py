"""How strongly an accelerator is confined: what is asked for, and what is in force. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass


class Level(enum.Enum):
    """What `--sandbox` takes, and the first word of every report."""

    STRICT = "strict"  # every layer that is required, or no start
    BEST_EFFORT = "best-effort"  # what the kernel has
    OFF = "off"


@dataclass(frozen=True)
class SandboxReport:
    """What is in force in one process.

    Attributes:
        level: STRICT when no required layer is missing.
        landlock_abi: version of Landlock's interface that is used, 0 for none.
        seccomp: whether system calls are filtered.
        uid: the user that the accelerator has for itself, None when it runs as the daemon's.
        missing: the required layers that are not there.
    """

    level: Level
    landlock_abi: int = 0
    seccomp: bool = False
    uid: int | None = None
    missing: tuple[str, ...] = ()

    def to_text(self) -> str:
        """One line for people and for GetCapabilities; the first word is the level.

        It holds no path and no name of the host's.
        """
        if self.level is Level.OFF:
            return Level.OFF.value
        facts = [f"Landlock {self.landlock_abi}"] if self.landlock_abi else []
        facts += ["seccomp"] if self.seccomp else []
        facts += ["own user"] if self.uid is not None else []
        inside = ", ".join(facts) or "limits only"
        if self.missing:
            inside += f"; without {', '.join(self.missing)}"
        return f"{self.level.value} ({inside})"


def weakest_level(texts: Iterable[str]) -> str | None:
    """The weakest level of several reports' texts; None when they tell none."""
    known = {level_in(text) for text in texts}
    return next((one.value for one in reversed(Level) if one in known), None)


def level_in(text: str) -> Level | None:
    """The level that a report's text begins with; None when it is no such text."""
    words = text.split(maxsplit=1)
    return next((one for one in Level if words and one.value == words[0]), None)
