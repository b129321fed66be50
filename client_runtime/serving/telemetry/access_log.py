"""One line of JSON for each request: who asked for what, how it ended, how long it took.

Never what was sent or answered, and no secret. Requests do not wait for the log: lines that it
cannot keep up with are left out, and a line says how many.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client_runtime.serving.events import Event, RequestEnded, RequestRefused, status_name
from client_runtime.serving.servable import Caller
from client_runtime.serving.telemetry.background import Background

MOST_WAITING = 10_000
# Characters of one member: names are whatever a client wrote.
LONGEST_MEMBER = 256
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_CLOSE_SECONDS = 5.0


class AccessLog:
    """Observes requests and writes their lines. Thread-safe."""

    def __init__(self, write: Callable[[str], None], *, max_waiting: int = MOST_WAITING) -> None:
        """`write` takes whole lines; it may raise an OSError, and then these lines are lost."""
        self._write_text = write
        self._lock = threading.Lock()
        self._left_out = 0
        self._background = Background(self._write, name="access-log", max_items=max_waiting)

    def observe(self, event: Event) -> None:
        """Write a line about a request that ended or was refused."""
        if not isinstance(event, RequestEnded | RequestRefused):
            return
        members = refused(event) if isinstance(event, RequestRefused) else ended(event)
        if not self._background.put((time.time(), members)):
            with self._lock:
                self._left_out += 1

    def close(self) -> None:
        """Write what waits."""
        self._background.close(_CLOSE_SECONDS)
        self._write([])

    def _write(self, taken: list[tuple[float, dict[str, Any]]]) -> None:
        lines = [line(*one) for one in taken]
        with self._lock:
            left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(line(time.time(), {"left_out": left_out}))
        if lines:
            with contextlib.suppress(OSError):
                self._write_text("".join(lines))


def ended(event: RequestEnded) -> dict[str, Any]:
    """The members of a line about a request; what is not known is left out."""
    caller = event.caller
    members = {
        **_caller(caller),
        "model": event.model,
        "version": event.version,
        "signature": event.signature,
        "status": status_name(event.status),
        "ms": round(event.seconds * 1000, 3),
        "bytes_in": caller.bytes_in,
        "bytes_out": event.bytes_out,
    }
    return _known(members)


def refused(event: RequestRefused) -> dict[str, Any]:
    """The members of a line about a request that was not let in."""
    members = {**_caller(event.caller), "key": event.key, "status": status_name(event.status)}
    return _known(members)


def _caller(caller: Caller) -> dict[str, Any]:
    return {
        "request_id": caller.request_id,
        "door": caller.door,
        "method": caller.api,
        "peer": caller.peer,
    }


def _known(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in ("", None)}


def line(at: float, members: dict[str, Any]) -> str:
    """A line, with its end, of what happened at this Unix time."""
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    cut = {
        name: value[:LONGEST_MEMBER] if isinstance(value, str) else value
        for name, value in members.items()
    }
    return json.dumps({"time": stamp, **cut}) + "\n"


def to_stderr(text: str) -> None:
    """Write lines to standard error."""
    sys.stderr.write(text)
    sys.stderr.flush()


def to_file(path: Path) -> Callable[[str], None]:
    """What appends lines to a file, which it makes for its owner alone, and may be moved away."""

    def write(text: str) -> None:
        # Opened anew for each burst, so that a rotated file gets no more lines.
        file = os.open(path, _FLAGS, 0o600)
        with os.fdopen(file, "a", encoding="utf-8") as stream:
            stream.write(text)

    return write
