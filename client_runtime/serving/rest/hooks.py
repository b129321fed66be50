"""Where the rest of the server joins the REST API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from client_runtime.serving.access.guard import Guard
from client_runtime.serving.events import Observer, nobody
from client_runtime.serving.servable import Editor


@dataclass(frozen=True)
class Page:
    """What a further path answers to GET."""

    body: bytes
    content_type: str = "text/plain"


@dataclass(frozen=True)
class Hooks:
    """What the rest of the server adds. All are called on the loop's thread, but the pages.

    Attributes:
        pages: by exact path, called in a thread; for instance the metrics.
        guard: lets requests in, but those about health.
        observe: told of requests for what is below /v1/.
        draining: set when the server is about to end: not ready, and no connection is kept.
        editor: adds and removes models; None: nobody does by this API.
    """

    pages: Mapping[str, Callable[[], Page]] = field(default_factory=dict)
    guard: Guard = field(default_factory=Guard)
    observe: Observer = nobody
    draining: threading.Event = field(default_factory=threading.Event)
    editor: Editor | None = None
