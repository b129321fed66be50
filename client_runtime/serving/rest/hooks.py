"""Where the rest of the server joins the REST API.

Pure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from client_runtime.serving.rest.outcome import Outcome


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
        authorize: called with a request's headers and path; raises a ServingError to refuse it.
        observe: called with what became of a request.
        draining: set when the server is about to end: not ready, and no connection is kept.
    """

    pages: Mapping[str, Callable[[], Page]] = field(default_factory=dict)
    authorize: Callable[[Mapping[str, str], str], None] = lambda headers, path: None
    observe: Callable[[Outcome], None] = lambda outcome: None
    draining: threading.Event = field(default_factory=threading.Event)
