"""The server's metrics: an observer that counts, and the text that Prometheus reads.

What clients write becomes a label only in bounds: names of models that are not served are kept up
to a number, then all count as one; versions and signatures are those that really ran.
"""

from __future__ import annotations

import re
import threading

from client_runtime.serving.events import (
    BatchEnded,
    Configured,
    Event,
    RequestBegan,
    RequestEnded,
    RequestLogged,
    RequestRefused,
    RunEnded,
    VersionChanged,
    WarmedUp,
)
from client_runtime.serving.telemetry.original_metrics import OriginalMetrics
from client_runtime.serving.telemetry.own_metrics import OwnMetrics
from client_runtime.serving.telemetry.series import Description, Scalar, exposition
from client_runtime.serving_wire import server_config_pb2

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DEFAULT_PATH = "/monitoring/prometheus/metrics"
# Names of models that are asked for and not served, and characters of one, that become labels.
MOST_UNKNOWN_NAMES = 100
LONGEST_UNKNOWN_NAME = 100
OTHER = "(other)"
_NOT_IN_NAMES = re.compile("[^A-Za-z0-9_]")


class Metrics:
    """Counts the server's events. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: set[str] = set()
        self._unknown: set[str] = set()
        self._original = OriginalMetrics(self._model_label)
        self._own = OwnMetrics(self._model_label)
        self._families = [*self._original.families.made, *self._own.families.made]
        self._counters = {
            one.description.name: one for one in self._families if isinstance(one, Scalar)
        }

    def observe(self, event: Event) -> None:
        """Count an event."""
        with self._lock:
            self._count(event)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, of CONTENT_TYPE."""
        with self._lock:
            text = exposition(self._families)
        # A path that a client sent may hold what is no Unicode.
        return text.encode(errors="replace")

    def counter(self, name: str) -> int:
        """The value of a counter with all its labels, as "/tensorflow/serving/request_count".

        0 for one that there is not.
        """
        with self._lock:
            family = self._counters.get(_NOT_IN_NAMES.sub(":", name))
            return 0 if family is None else int(family.total())

    def descriptions(self) -> tuple[Description, ...]:
        """What is measured, sorted by name."""
        return tuple(sorted((one.description for one in self._families), key=lambda one: one.name))

    def _count(self, event: Event) -> None:
        match event:
            case RequestBegan():
                self._own.request_began(event)
            case RequestEnded():
                self._original.request_ended(event)
                self._own.request_ended(event)
            case RequestRefused():
                self._own.request_refused(event)
            case RunEnded():
                self._original.run_ended(event)
                self._own.run_ended(event)
            case BatchEnded():
                self._original.batch_ended(event)
                self._own.batch_ended(event)
            case VersionChanged():
                self._served.add(event.servable.name)
                self._original.version_changed(event)
                self._own.version_changed(event)
            case WarmedUp():
                self._original.warmed_up(event)
            case RequestLogged():
                self._original.request_logged(event)
            case Configured():
                self._served = {one.name for one in event.config.model_config_list.config}

    def _model_label(self, name: str) -> str:
        if not name or name in self._served or name in self._unknown:
            return name
        if len(self._unknown) < MOST_UNKNOWN_NAMES and len(name) <= LONGEST_UNKNOWN_NAME:
            self._unknown.add(name)
            return name
        return OTHER


def metrics_path(config: server_config_pb2.MonitoringConfig) -> str | None:
    """The HTTP path at which a monitoring configuration wants the metrics; None for nowhere."""
    wanted = config.prometheus_config
    return (wanted.path or DEFAULT_PATH) if wanted.enable else None
