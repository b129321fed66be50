"""Tells what happened to versions: the log, and whoever observes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from client_runtime.serving.models.jobs import guarded
from client_runtime.serving.models.lifecycle import News, State

_log = logging.getLogger(__name__)


class Herald:
    """Passes events on, in the order in which they were added and never two at once."""

    def __init__(self, observe: Callable[[News], None] | None) -> None:
        self._observe = observe
        self._telling = threading.RLock()
        self._news: deque[News] = deque()

    def add(self, news: News) -> None:
        """Keep a piece of news until `tell`; takes no time."""
        self._news.append(news)

    def tell(self) -> None:
        """Pass on what was added. Observers may take locks, so the caller should hold none."""
        with self._telling:
            while self._news:
                news = self._news.popleft()
                _write(news)
                if self._observe is not None:
                    guarded(partial(self._observe, news))


def _write(news: News) -> None:
    version = f"{{name: {news.id.name} version: {news.id.version}}}"
    if news.error is not None and news.state in (State.LOADING, State.END):
        error = f"{news.error.status.name}: {news.error.message}"
        end = "; it is tried again" if news.state is State.LOADING else ""
        _log.error("Servable %s cannot be loaded: %s%s", version, error, end)
    elif news.state is State.AVAILABLE:
        _log.info("Successfully loaded servable version %s in %.3f s", version, news.seconds)
    else:
        _log.info("Servable version %s is %s", version, news.state.name)
