"""What holds for every input whatever it is, and the loop that tries inputs.

An input is taken, or refused by an error of ours; within a second of processor time and some
megabytes; and what a refusal says, in any of its forms, holds neither a traceback nor anything of
the canaries: a folder, secrets and names of others that only the tested side knows.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from accel_daemon.accelerator.run_stream import error_message
from accel_protocol.errors import AcceleratorError

CANARY = "canary7"
SECONDS_PER_INPUT = 1.0
HANGING_SECONDS = 20.0
# What one input may add to the most that the process ever held.
MEGABYTES_PER_INPUT = 64

Make = Callable[[random.Random], Any]
Check = Callable[[Any], None]


class Found(AssertionError):  # noqa: N818 - what the fuzzing looks for
    """A defect: what happened, and at which input."""


class _Hanging(BaseException):
    """An input took so long that it was interrupted."""


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        make: makes an input from chance.
        check: gives it to the parser; may assert more of what comes back.
        allowed: what it may raise besides AcceleratorError.
        travels: whether its errors are for a peer, and so must have a form on the wire.
        refuses: whether it refuses by raising; one that never does answers something for anything.
        share: how many inputs it gets for one of the others': slow ones get fewer.
    """

    make: Make
    check: Check
    allowed: tuple[type[Exception], ...] = ()
    refuses: bool = True
    travels: bool = True
    share: float = 1.0


@dataclass(frozen=True)
class Setting:
    """What targets are built with.

    Attributes:
        folder: an empty one; a canary stands in its path.
    """

    folder: Path
    secret: str = f"{CANARY}Secret" + "s" * 27
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


@dataclass(frozen=True)
class Tally:
    """What came of a run: inputs, how many were refused, processor seconds, the slowest one."""

    inputs: int
    refused: int
    seconds: float
    slowest: float


def try_one(target: Target, value: Any) -> bool:
    """Give one input to a target; whether it was refused.

    Raises:
        Found: something happened that must not.
    """
    held, started = _peak_megabytes(), time.thread_time()
    refusal: Exception | None = None
    try:
        target.check(value)
    except Found:
        raise
    except (AcceleratorError, *target.allowed) as error:
        refusal = error
    except (_Hanging, Exception) as error:
        told = "".join(traceback.format_exception(error))
        raise Found(f"{type(error).__name__} at {shown(value)}\n{told}") from None
    taken = time.thread_time() - started
    if taken > SECONDS_PER_INPUT * float(os.environ.get("ACCEL_TEST_TIME_SCALE", "1")):
        raise Found(f"{taken:.1f} s of processor time at {shown(value)}")
    if _peak_megabytes() - held > MEGABYTES_PER_INPUT:
        raise Found(f"{_peak_megabytes() - held:.0f} MB more at {shown(value)}")
    if refusal is not None:
        check_told(refusal, value, travels=target.travels)
    return refusal is not None


def check_told(error: Exception, value: Any = None, *, travels: bool = True) -> None:
    """Check all forms in which an error may reach a peer or a person."""
    forms = [str(error)]
    if isinstance(error, AcceleratorError):
        forms += [
            repr(error),
            error.message,
            error.remedy,
            error.reason,
            *error.fields,
            *error.fields.values(),
        ]
        if not all(isinstance(one, str) for one in forms):
            raise Found(f"an error holds what is no text at {shown(value)}")
        if travels:
            forms.append(_on_the_wire(error, value))
    check_texts(forms, value)


def _on_the_wire(error: AcceleratorError, value: Any) -> str:
    """The message in which an error travels."""
    try:
        return str(error_message(error))
    except UnicodeEncodeError:
        raise Found(f"an error has no form on the wire at {shown(value)}") from None


def check_texts(texts: list[str], value: Any = None) -> None:
    """Check that none of these holds a canary or a traceback."""
    for text in texts:
        if CANARY in text.lower() or "traceback" in text.lower():
            raise Found(f"{text[:500]!r} tells too much at {shown(value)}")


def try_many(target: Target, inputs: int, seed: str) -> Tally:
    """Try so many inputs, all drawn from one seed.

    Raises:
        Found: with the number of the input, which repeats it.
    """
    refused, slowest, seconds = 0, 0.0, 0.0
    with _watched() as alive:
        for number in range(inputs):
            alive()
            value = target.make(random.Random(f"{seed}/{number}"))
            started = time.thread_time()
            try:
                refused += try_one(target, value)
            except Found as found:
                raise Found(f"seed {seed!r}, input {number}: {found}") from None
            taken = time.thread_time() - started
            seconds, slowest = seconds + taken, max(slowest, taken)
    return Tally(inputs, refused, seconds, slowest)


def shown(value: Any) -> str:
    """An input, not too long."""
    text = repr(value)
    return text if len(text) <= 3000 else f"{text[:3000]}… ({len(text)} characters)"


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextlib.contextmanager
def _watched() -> Iterator[Callable[[], None]]:
    """Interrupts an input that hangs; the given function says that another one begins."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise _Hanging

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        yield lambda: signal.setitimer(signal.ITIMER_VIRTUAL, HANGING_SECONDS) and None  # type: ignore[func-returns-value]
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
