"""A disk that fails at a chosen step: each call of Python that reaches the disk is a step."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Of the modules `posix` and `io`, by their names; whatever the program calls them through.
WRITING = frozenset({
    "open", "write", "flush", "fsync", "fchmod", "close", "truncate",
    "replace", "rename", "unlink", "rmdir", "link", "mkdir",
})  # fmt: skip
READING = frozenset({"read", "readinto", "readall"})


@contextmanager
def failing(steps: frozenset[str], at: int, fail: Callable[[], None]) -> Iterator[list[str]]:
    """Call `fail` in place of the step with this number, from 0; gives the names of all so far."""
    seen: list[str] = []

    def watch(frame: Any, event: str, called: Any) -> None:
        if event != "c_call" or called.__name__ not in steps:
            return
        seen.append(called.__name__)
        if len(seen) == at + 1:
            fail()  # what it raises is raised by the call, and nobody watches any more

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def raising(number: int) -> Callable[[], None]:
    """A step that fails with this `errno`."""

    def fail() -> None:
        raise OSError(number, os.strerror(number), "/a/path/that/nobody/may/see")

    return fail


def dies(work: Callable[[], object], at: int) -> bool:
    """Whether a process that does this work is killed at a writing step; False once it has none."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with failing(WRITING, at, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False
