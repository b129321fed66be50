"""The life of one version of a model.

    START ──► LOADING ──► AVAILABLE ──► UNLOADING ──► END
      │          ├───────────────────────►│            ▲
      └──────────┴────────────────────────────────────►│     END ──► START when wanted again

Pure.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from client_runtime.serving.servable import Servable, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelVersionStatus
from client_runtime.transport.exchange import Cancellation


class State(enum.IntEnum):
    """Where a version is in its life; values as in ModelVersionStatus."""

    START = ModelVersionStatus.START
    LOADING = ModelVersionStatus.LOADING
    AVAILABLE = ModelVersionStatus.AVAILABLE
    UNLOADING = ModelVersionStatus.UNLOADING
    END = ModelVersionStatus.END


_NEXT = {
    State.START: {State.LOADING, State.END},
    State.LOADING: {State.AVAILABLE, State.UNLOADING, State.END},
    State.AVAILABLE: {State.UNLOADING},
    State.UNLOADING: {State.END},
    State.END: {State.START},
}


@dataclass(frozen=True)
class News:
    """Something happened to a version.

    Attributes:
        id: to which one.
        state: its state now.
        error: why a load failed; with LOADING, it will be tried again.
        seconds: how long it was in the state before, or in this one where it is LOADING still.
            With AVAILABLE: what the load took, with all tries and waits.
        folder: of its files.
        ends_load: whether it tells how a try to load ended, well or not; not of one that was given
            up meanwhile.
    """

    id: ServableId
    state: State
    error: ServingError | None = None
    seconds: float = 0.0
    folder: Path = Path()
    ends_load: bool = False


@dataclass
class Version:
    """One version of one model, from the day it is first wanted. Times are time.monotonic().

    Attributes:
        id: which one.
        folder: of its files.
        since: when it entered its state.
        aspired: whether it is to be served.
        error: why its last load failed.
        tries: loads that failed since START.
        retry_at: when a failed load is tried again; None: no load waits for that.
        is_busy: whether a load or a close of it has been begun and has not ended.
        abandoned_at: when it was given up during a load; None: it was not.
        wait_for_users_until: UNLOADING: when it is closed although requests still use it.
        users: requests that use it.
        servable: while there is one.
        cancellation: of the load that is under way.
    """

    id: ServableId
    folder: Path
    since: float
    state: State = State.START
    aspired: bool = True
    error: ServingError | None = None
    tries: int = 0
    retry_at: float | None = None
    is_busy: bool = False
    abandoned_at: float | None = None
    wait_for_users_until: float | None = None
    users: int = 0
    servable: Servable | None = None
    cancellation: Cancellation = field(default_factory=Cancellation)

    def enter(self, state: State, now: float) -> News:
        """Go on to a state.

        Raises:
            ValueError: no life goes that way.
        """
        if state not in _NEXT[self.state]:
            raise ValueError(f"{self.id} cannot go from {self.state.name} to {state.name}")
        seconds, self.state, self.since = now - self.since, state, now
        return self.news(seconds)

    def leaves_until(self, patience: float) -> float | None:
        """When it should have left at the latest, with some patience; None: it is not leaving."""
        if self.state is State.UNLOADING and self.wait_for_users_until is not None:
            return self.wait_for_users_until + patience
        if self.state is State.LOADING and not self.aspired and self.abandoned_at is not None:
            return self.abandoned_at + patience
        return None

    def news(self, seconds: float) -> News:
        """What its state is now, as news."""
        return News(self.id, self.state, self.error, seconds, self.folder)

    def begin_again(self, now: float) -> News:
        """From END to START, with all that was forgotten."""
        self.error, self.tries, self.retry_at, self.abandoned_at = None, 0, None, None
        return self.enter(State.START, now)
