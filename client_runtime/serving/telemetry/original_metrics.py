"""TensorFlow Serving's own metrics: its names, types, labels and buckets.

The texts of "# HELP" are ours, as the original writes none. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from client_runtime.serving.events import (
    BatchEnded,
    RequestEnded,
    RequestLogged,
    RunEnded,
    VersionChanged,
    WarmedUp,
    status_name,
)
from client_runtime.serving.telemetry.series import (
    Families,
    exponential,
)

_SERVING = ":tensorflow:serving:"
_BATCHING = f"{_SERVING}batching_session:"
_LOADER = ":tensorflow:cc:saved_model:"
_CORE = ":tensorflow:core:"
_MICROSECONDS = exponential(10, 1.8, 33)
_BATCH_SIZES = exponential(1, 2, 14)
# The inference APIs by gRPC, which metrics of the runtime name by whichever door a request came.
_APIS = {
    "predict": "Predict",
    "classify": "Classify",
    "regress": "Regress",
    "multiinference": "MultiInference",
    "sessionrun": "SessionRun",
}


class OriginalMetrics:
    """The metrics of a `tensorflow_model_server`.

    Attributes:
        families: all of them.
    """

    def __init__(self, model_label: Callable[[str], str]) -> None:
        """`model_label` bounds what clients can write into labels."""
        self.families = Families()
        self._label = model_label
        self._request_metrics()
        self._batch_metrics()
        self._load_metrics()

    def _request_metrics(self) -> None:
        self._requests = self.families.counter(
            f"{_SERVING}request_count", "Inference requests.", "model_name", "status"
        )
        self._request_latency = self.families.histogram(
            f"{_SERVING}request_latency",
            "Microseconds of inference requests that succeeded.",
            _MICROSECONDS,
            "model_name",
            "API",
            "entrypoint",
        )
        self._runtime_latency = self.families.histogram(
            f"{_SERVING}runtime_latency",
            "Microseconds that the runs of inference requests took.",
            _MICROSECONDS,
            "model_name",
            "API",
            "runtime",
        )
        self._example_counts = self.families.histogram(
            f"{_SERVING}request_example_counts",
            "Examples in a MultiInference request.",
            exponential(1, 2, 15),
            "model",
        )
        self._examples = self.families.counter(
            f"{_SERVING}request_example_count_total",
            "Examples in MultiInference requests.",
            "model",
        )
        self._logged = self.families.counter(
            f"{_SERVING}request_log_count",
            "Requests that were sampled for a request log.",
            "model_name",
            "status_code",
        )

    def _batch_metrics(self) -> None:
        self._batch_queue = self.families.histogram(
            f"{_BATCHING}queuing_latency",
            "Microseconds that requests waited in the batching queue.",
            exponential(100, 1.2, 52),
            "thread_pool_name",
        )
        self._batches = self.families.counter(
            f"{_BATCHING}wrapped_run_count", "Batches that were run."
        )
        self._padding = self.families.histogram(
            f"{_BATCHING}padding_size",
            "Rows that were added to a batch to bring it to an allowed size.",
            _BATCH_SIZES,
            "execution_batch_size",
        )
        self._input_sizes = self.families.histogram(
            f"{_BATCHING}input_batch_size", "Rows of the requests in batches.", _BATCH_SIZES
        )
        self._batch_sizes = self.families.histogram(
            f"{_BATCHING}processed_batch_size", "Rows of batches, with padding.", _BATCH_SIZES
        )

    def _load_metrics(self) -> None:
        self._warm_up_latency = self.families.histogram(
            f"{_SERVING}model_warmup_latency",
            "Microseconds that a model's warm-up took.",
            _MICROSECONDS,
            "model_path",
            "status",
        )
        self._warm_up_records = self.families.counter(
            f"{_SERVING}model_warmup_records_read",
            "Records that were run to warm models up.",
            "model_path",
            "status",
        )
        self._load_attempts = self.families.counter(
            f"{_LOADER}load_attempt_count", "Loads of a model.", "model_path", "status"
        )
        self._load_latency = self.families.counter(
            f"{_LOADER}load_latency",
            "Microseconds that loads of a model took which succeeded.",
            "model_path",
        )
        self._runs = self.families.counter(f"{_CORE}graph_runs", "Runs of graphs.")
        self._run_time = self.families.counter(
            f"{_CORE}graph_run_time_usecs", "Microseconds that runs of graphs took."
        )
        self._session_runs = self.families.counter(
            f"{_CORE}direct_session_runs", "Runs of sessions."
        )

    def request_ended(self, event: RequestEnded) -> None:
        """Count a request of one of the inference APIs, or of none that there is."""
        if not event.caller.api:  # REST paths that mean nothing count there, under no name
            self._requests.add("", status_name(event.status))
        api = _APIS.get(event.caller.api.lower())
        if api is None:
            return
        model = self._label(event.model)
        self._requests.add(model, status_name(event.status))
        if event.status is not None:
            return
        self._request_latency.observe(
            model, event.caller.api, event.caller.door, value=_microseconds(event.seconds)
        )
        if api == "MultiInference":
            examples = example_count(event.request)
            self._example_counts.observe(model, value=examples)
            self._examples.add(model, amount=examples)

    def run_ended(self, event: RunEnded) -> None:
        """Count a request's part of a run; what clients did not ask for has no latency here."""
        self._session_runs.add()
        self._runs.add()
        self._run_time.add(amount=_microseconds(event.compute_seconds))
        api = _APIS.get(event.caller.api.lower())
        if api is not None and event.status is None:
            self._runtime_latency.observe(
                event.servable.name, api, "TF1", value=_microseconds(event.seconds)
            )

    def batch_ended(self, event: BatchEnded) -> None:
        """Count a batch."""
        self._batches.add()
        for seconds in event.queue_seconds:
            self._batch_queue.observe(event.thread_pool_name, value=_microseconds(seconds))
        for rows in event.rows:
            self._input_sizes.observe(value=rows)
        self._batch_sizes.observe(value=event.execution_rows)
        padding = event.execution_rows - sum(event.rows)
        self._padding.observe(str(event.execution_rows), value=padding)

    def version_changed(self, event: VersionChanged) -> None:
        """Count a load when it ends."""
        if event.load_seconds is None:
            return
        is_loaded = event.state == "AVAILABLE"
        self._load_attempts.add(event.path, "success" if is_loaded else "fail")
        if is_loaded:
            self._load_latency.add(event.path, amount=_microseconds(event.load_seconds))

    def warmed_up(self, event: WarmedUp) -> None:
        """Count a warm-up."""
        labels = (event.path, status_name(event.status))
        self._warm_up_latency.observe(*labels, value=_microseconds(event.seconds))
        self._warm_up_records.add(*labels, amount=event.records)

    def request_logged(self, event: RequestLogged) -> None:
        """Count a request that was to be logged."""
        self._logged.add(event.model, status_name(event.status))


def example_count(request: object) -> int:
    """Examples in a request of the APIs that take examples; 0 in others."""
    given = getattr(request, "input", None)
    kind = given.WhichOneof("kind") if given is not None else None
    return len(getattr(given, kind).examples) if kind else 0


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)
