"""Whether and when a failed attempt is made again: decided here, waited for elsewhere.

Waits grow exponentially and are drawn at random from nothing up to the present length, so that
callers that failed together do not come back together. What the peer hints is waited for at least.
All callers of one connection share a budget of retries: each retry costs a token, each success
gives a part of one back. A peer that fails everything is thus not buried under repetitions.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from accel_protocol.errors import (
    AcceleratorError,
    BusyError,
    ConnectionLostError,
    CredentialsError,
)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
LONGEST_HINT_SECONDS = 60.0
# Riding over a restart of an accelerator takes one caller about a dozen tokens.
BUDGET_TOKENS = 200.0
TOKENS_PER_SUCCESS = 0.5
# A restarted daemon signs tickets with a new key: worth asking for a new one, once.
_RENEWABLE = ("INVALID_TICKET", "TICKET_EXPIRED")
_EXHAUSTED = (
    "Not tried again: too many calls of this connection failed, and its retries are used up"
    " until calls succeed again."
)
Chance = Callable[[], float]


class RetryBudget:
    """Tokens for retries, shared by the threads of one connection.

    Args:
        tokens: how many there are at first, and at most.
        per_success: how much of one a success gives back.
    """

    def __init__(
        self, tokens: float = BUDGET_TOKENS, per_success: float = TOKENS_PER_SUCCESS
    ) -> None:
        self._most, self._per_success = tokens, per_success
        self._lock = threading.Lock()
        self._tokens = tokens

    def take(self) -> bool:
        """Pay for one retry; False when there is not enough left."""
        with self._lock:
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def succeeded(self) -> None:
        """An attempt succeeded, or came further."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._per_success)


@dataclass(frozen=True)
class Failure:
    """What is known when an attempt failed.

    Attributes:
        error: how it failed.
        attempt: which one it was, from 1.
        left: seconds until the caller gives up.
        reached: whether this connection ever reached anything.
        renewed: whether a new ticket was asked for before, for this call's sake.
    """

    error: AcceleratorError
    attempt: int
    left: float
    reached: bool
    renewed: bool = False


def renewable(error: AcceleratorError) -> bool:
    """Whether a new ticket may help."""
    return isinstance(error, CredentialsError) and error.reason in _RENEWABLE


def wait_after(failure: Failure, chance: Chance = random.random) -> float | None:
    """Seconds to wait before the next attempt; None when there should be none."""
    if renewable(failure.error):
        return None if failure.renewed or failure.left <= 0 else 0.0
    if not isinstance(failure.error, ConnectionLostError | BusyError):
        return None
    hint = hint_of(failure.error)
    if hint is None and not failure.reached and "retry_after_ms" not in failure.error.fields:
        return None  # a wrong address is likelier than a restart
    wait = (hint or 0.0) + chance() * pause_of(failure.attempt)
    return wait if wait < failure.left else None


def pause_of(attempt: int) -> float:
    """The longest wait after this attempt, where nothing is hinted."""
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempt - 1, 16))


def hint_of(error: AcceleratorError) -> float | None:
    """Seconds after which the peer wants to be asked again; None without a sensible number."""
    hint = error.fields.get("retry_after_ms", "")
    # A peer wrote it: what is no sensible number is no hint.
    if not (hint.isascii() and hint.isdecimal() and len(hint) < 10):
        return None
    return min(int(hint) / 1000, LONGEST_HINT_SECONDS)


class Ride:
    """One caller's way over failures; not for several threads.

    Args:
        budget: of the connection.
        patience: seconds from the first failure on, or from the last that came further.
        give_up_at: the call's own end, on the clock that `next_wait` is told; None for none.
        chance: draws from 0 to 1.
    """

    def __init__(
        self,
        budget: RetryBudget,
        patience: float,
        give_up_at: float | None = None,
        chance: Chance = random.random,
    ) -> None:
        self._budget, self._patience, self._chance = budget, patience, chance
        self._give_up_at = give_up_at
        self._failing_since: float | None = None
        self._attempts = 0
        self._progress = 0
        self._renewed = False

    def came(self, progress: int) -> None:
        """How far the attempt that just failed came; further than ever renews the patience."""
        if progress > self._progress:
            self._progress = progress
            self._failing_since = None
            self._budget.succeeded()

    def left(self, now: float) -> float:
        """Seconds until patience or the call's time ends."""
        since = now if self._failing_since is None else self._failing_since
        end = since + self._patience
        return (end if self._give_up_at is None else min(end, self._give_up_at)) - now

    def next_wait(self, error: AcceleratorError, now: float, *, reached: bool) -> float | None:
        """Seconds to wait, and one retry is paid for; None: raise the error.

        An error that is raised for want of retries says so.
        """
        self._attempts += 1
        if self._failing_since is None:
            self._failing_since = now
        failure = Failure(error, self._attempts, self.left(now), reached, self._renewed)
        wait = wait_after(failure, self._chance)
        if wait is not None and not self._budget.take():
            error.fields["retries"] = "exhausted"
            error.add_note(_EXHAUSTED)
            return None
        self._renewed = self._renewed or renewable(error)
        return wait

    @property
    def first(self) -> bool:
        """Whether only one attempt has failed yet."""
        return self._attempts == 1
