"""Tells what happened to versions: the log, and whoever observes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from client_runtime.serving.models.jobs import guarded
from client_runtime.serving.models.lifecycle import Event, State

_log = logging.getLogger(__name__)


class Herald:
    """Passes events on, in the order in which they were added and never two at once."""

    def __init__(self, observe: Callable[[Event], None] | None) -> None:
        self._observe = observe
        self._telling = threading.RLock()
        self._news: deque[Event] = deque()

    def add(self, event: Event) -> None:
        """Keep an event until `tell`; takes no time."""
        self._news.append(event)

    def tell(self) -> None:
        """Pass on what was added. Observers may take locks, so the caller should hold none."""
        with self._telling:
            while self._news:
                event = self._news.popleft()
                _write(event)
                if self._observe is not None:
                    guarded(partial(self._observe, event))


def _write(event: Event) -> None:
    version = f"{{name: {event.id.name} version: {event.id.version}}}"
    if event.error is not None and event.state in (State.LOADING, State.END):
        error = f"{event.error.status.name}: {event.error.message}"
        end = "; it is tried again" if event.state is State.LOADING else ""
        _log.error("Servable %s cannot be loaded: %s%s", version, error, end)
    elif event.state is State.AVAILABLE:
        _log.info("Successfully loaded servable version %s in %.3f s", version, event.seconds)
    else:
        _log.info("Servable version %s is %s", version, event.state.name)
