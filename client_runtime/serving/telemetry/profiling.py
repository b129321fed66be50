"""Recording what happens while a profile runs, and nothing while none does."""

from __future__ import annotations

import platform
import threading
import time
from dataclasses import dataclass, field, replace

from client_runtime.serving.events import BatchEnded, Event, RequestEnded, RunEnded
from client_runtime.serving.telemetry.spans import batch_span, request_spans
from client_runtime.serving.telemetry.xspace import xspace
from client_runtime.serving_wire import xplane_pb2

_Recorded = RequestEnded | RunEnded | BatchEnded
# Events of one profile; beyond, they are counted and left out.
MOST_EVENTS = 100_000


@dataclass
class Recording:
    """What happened from a moment on.

    Attributes:
        most: events that are kept.
        began_at: time.monotonic().
        unix_ns: Unix time of the same moment, in nanoseconds.
        left_out: events that were not kept.
    """

    most: int = MOST_EVENTS
    began_at: float = field(default_factory=time.monotonic)
    unix_ns: int = field(default_factory=time.time_ns)
    requests: list[RequestEnded] = field(default_factory=list)
    runs: list[RunEnded] = field(default_factory=list)
    batches: list[BatchEnded] = field(default_factory=list)
    left_out: int = 0

    def add(self, event: _Recorded) -> None:
        """Keep an event while there is room."""
        if len(self.requests) + len(self.runs) + len(self.batches) >= self.most:
            self.left_out += 1
            return
        match event:
            case RequestEnded():
                self.requests.append(event)
            case RunEnded():
                self.runs.append(event)
            case BatchEnded():
                self.batches.append(event)

    @property
    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.requests or self.runs or self.batches)

    def profile(self, ended_at: float) -> xplane_pb2.XSpace:
        """What happened until a moment, for TensorFlow's tools."""
        warnings = [f"{self.left_out} more events were left out."] if self.left_out else []
        return xspace(
            {
                "requests": request_spans(self.requests, self.runs),
                "batches": [batch_span(batch) for batch in self.batches],
            },
            began_at=self.began_at,
            ended_at=ended_at,
            unix_ns=self.unix_ns,
            hostname=platform.node(),
            warnings=warnings,
        )


class Profiling:
    """Observes, and records while asked to; at most one recording at a time. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recording: Recording | None = None

    def observe(self, event: Event) -> None:
        """Record an event where a recording is under way."""
        if self._recording is None or not isinstance(event, _Recorded):
            return
        with self._lock:
            if self._recording is not None:
                self._recording.add(_without_messages(event))

    def begin(self, most: int = MOST_EVENTS) -> bool:
        """Begin to record; False where a recording is under way already."""
        with self._lock:
            if self._recording is not None:
                return False
            self._recording = Recording(most)
            return True

    def end(self) -> Recording:
        """End the recording that is under way.

        Raises:
            RuntimeError: there is none.
        """
        with self._lock:
            recording, self._recording = self._recording, None
        if recording is None:
            raise RuntimeError("nothing is being recorded")
        return recording


def _without_messages(event: _Recorded) -> _Recorded:
    """An event without what was sent and answered, which a profile does not show."""
    if isinstance(event, RequestEnded):
        return replace(event, request=None, response=None)
    return event
