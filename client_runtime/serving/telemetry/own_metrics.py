"""What TensorFlow Serving's metrics do not tell: by version and signature, queues, memory, states.

Times are seconds, as Prometheus has them. Series of a version are forgotten when it is unloaded.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from accel_protocol.errors import Status
from client_runtime.serving.events import (
    BatchEnded,
    RequestBegan,
    RequestEnded,
    RequestRefused,
    RunEnded,
    VersionChanged,
    status_name,
)
from client_runtime.serving.servable import ServableId
from client_runtime.serving.telemetry.series import (
    Families,
    exponential,
)

_PREFIX = "accel_serving_"
_VERSION = ("model", "version")
_SIGNATURE = (*_VERSION, "signature")
_SECONDS = exponential(0.0001, 2, 20)


class OwnMetrics:
    """The server's further metrics.

    Attributes:
        families: all of them.
    """

    def __init__(self, model_label: Callable[[str], str]) -> None:
        """`model_label` bounds what clients can write into labels."""
        self.families = Families(_PREFIX)
        self._label = model_label
        # Signatures that ran, by version: a client's word for one is no label.
        self._signatures: dict[ServableId, set[str]] = {}
        self._began: dict[int, tuple[str, str]] = {}
        self._request_metrics()
        self._run_metrics()
        self._version_metrics()

    def _request_metrics(self) -> None:
        self._requests = self.families.counter(
            "requests_total", "Requests that ended.", *_SIGNATURE, "api", "door", "status"
        )
        self._in_flight = self.families.gauge(
            "requests_in_flight", "Requests that are being answered.", "model", "door"
        )
        self._seconds = self.families.histogram(
            "request_seconds", "Time of requests that succeeded.", _SECONDS, *_SIGNATURE, "door"
        )
        self._refused = self.families.counter(
            "refused_total",
            "Requests that a door turned away before reading them.",
            "door",
            "key",
            "status",
        )

    def _run_metrics(self) -> None:
        self._queue = self.families.histogram(
            "queue_seconds",
            "Time that requests waited for their turn, here and at the accelerator.",
            _SECONDS,
            *_SIGNATURE,
        )
        self._compute = self.families.histogram(
            "compute_seconds", "Time that the accelerator computed.", _SECONDS, *_SIGNATURE
        )
        self._batch_rows = self.families.histogram(
            "batch_rows", "Rows of batches, with padding.", exponential(1, 2, 14), *_SIGNATURE
        )
        self._batch_requests = self.families.histogram(
            "batch_requests", "Requests in a batch.", exponential(1, 2, 10), *_SIGNATURE
        )
        self._padded = self.families.counter(
            "padded_rows_total", "Rows that were added to batches as padding.", *_SIGNATURE
        )

    def _version_metrics(self) -> None:
        self._state = self.families.gauge(
            "version_state", "1 for the state that a version is in.", *_VERSION, "state"
        )
        self._loads = self.families.counter("loads_total", "Loads that ended.", "model", "status")
        self._load_seconds = self.families.gauge(
            "load_seconds", "Time that the version's last load took, with warm-up.", *_VERSION
        )
        self._weights = self.families.gauge(
            "weight_bytes", "Bytes of a version's variables.", *_VERSION
        )

    def request_began(self, event: RequestBegan) -> None:
        """Count a request as in flight."""
        labels = (self._label(event.model), event.caller.door)
        self._began[id(event.caller)] = labels
        self._in_flight.add(*labels)

    def request_ended(self, event: RequestEnded) -> None:
        """Count a request; it is in flight no longer."""
        # The label it began with: meanwhile the name may have become a known one.
        began = self._began.pop(id(event.caller), None)
        if began is not None:
            self._in_flight.add(*began, amount=-1)
        labels = self._of_request(event)
        door = event.caller.door
        self._requests.add(*labels, event.caller.api, door, status_name(event.status))
        if event.status is None:
            self._seconds.observe(*labels, door, value=event.seconds)

    def request_refused(self, event: RequestRefused) -> None:
        """Count a request that was not read."""
        self._refused.add(event.caller.door, event.key, status_name(event.status))

    def run_ended(self, event: RunEnded) -> None:
        """Count a request's part of a run; what clients did not ask for is left out."""
        if event.servable not in self._signatures:
            return
        self._signatures[event.servable].add(event.signature)
        if not event.caller.door:
            return  # a warm-up, whose first runs are not like any other
        labels = _labels(event.servable, event.signature)
        self._queue.observe(*labels, value=event.queue_seconds)
        if event.status is None:
            self._compute.observe(*labels, value=event.compute_seconds)

    def batch_ended(self, event: BatchEnded) -> None:
        """Count a batch."""
        if event.servable not in self._signatures:
            return
        labels = _labels(event.servable, event.signature)
        self._batch_rows.observe(*labels, value=event.execution_rows)
        self._batch_requests.observe(*labels, value=len(event.rows))
        self._padded.add(*labels, amount=event.execution_rows - sum(event.rows))

    def version_changed(self, event: VersionChanged) -> None:
        """Show the version's state, and begin or forget its series."""
        model, version = event.servable.name, str(event.servable.version)
        if event.load_seconds is not None:
            is_loaded = event.state == "AVAILABLE"
            status = None if is_loaded else event.status or Status.INTERNAL
            self._loads.add(model, status_name(status))
        self._state.forget(lambda labels: _is_of(labels, model, version))
        if event.state == "END":
            self._forget(event.servable)
        else:
            self._signatures.setdefault(event.servable, set())
        if event.state != "END" or event.error:
            self._state.set(model, version, event.state, value=1)
        if event.state == "AVAILABLE":
            self._weights.set(model, version, value=event.weight_bytes)
            if event.load_seconds is not None:
                self._load_seconds.set(model, version, value=event.load_seconds)

    def _forget(self, servable: ServableId) -> None:
        self._signatures.pop(servable, None)
        for family in self.families.made:
            if "version" in family.description.labels:
                family.forget(lambda labels: _is_of(labels, servable.name, str(servable.version)))

    def _of_request(self, event: RequestEnded) -> tuple[str, str, str]:
        model = self._label(event.model)
        if event.version is None:
            return (model, "", "")
        servable = ServableId(event.model, event.version)
        if servable not in self._signatures:
            return (model, "", "")
        if event.signature not in self._signatures[servable]:
            return (model, str(event.version), "")
        return (model, str(event.version), event.signature)


def _labels(servable: ServableId, signature: str) -> tuple[str, str, str]:
    return (servable.name, str(servable.version), signature)


def _is_of(labels: dict[str, str], model: str, version: str) -> bool:
    return labels["model"] == model and labels["version"] == version
