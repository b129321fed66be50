"""The daemon's metrics as Prometheus reads them.

From facts about each accelerator to samples everything is pure. `GET /metrics` on the control
endpoint is signed like all else; Prometheus itself cannot sign, so the operator may also open a
plain listener, on the loopback address only.

Labels are the accelerator's id and type, for `accel_state` the state, and for `accel_errors_total`
the reason, which is one of this project's table: never who uses it or what
runs on it, so that the number of series depends on nothing that a client does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from accel_daemon.control.metadata.guard import is_local_host
from accel_daemon.control.service import call_of
from accel_daemon.supervisor.fleet import Fleet
from accel_daemon.supervisor.life_cycle import State
from accel_protocol.errors import REASONS

# What `generate_latest` writes: the text format that every version of Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("accelerator_id", "type")

# Counted by an accelerator's process: they begin anew when it starts again, as Prometheus expects,
# and are absent while there is no process.
COUNTERS = {
    "runs": "Inferences that succeeded.",
    "failed_runs": "Inferences that failed.",
    "uploaded_bytes": "Bytes of models that were received.",
    "uploaded_files": "Files of models that were received.",
    "loads": "Graphs that were loaded.",
    "cache_hits": "Inferences whose graph was loaded already.",
    "run_bytes_in": "Bytes of inferences' messages that were received.",
    "run_bytes_out": "Bytes of inferences' messages that were sent.",
}
# Microseconds in reports, seconds in metrics, as Prometheus has them.
TIMES = {
    "queue_us": ("accel_queue_seconds", "How long inferences waited for their turn."),
    "compute_us": ("accel_compute_seconds", "How long inferences computed."),
}
_REFUSED = "refused_"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Row = tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class AcceleratorFacts:
    """What is measured about one accelerator at one moment.

    Attributes:
        accelerator_id: "eia-" and 32 hexadecimal digits.
        type: for instance "eia2.medium".
        state: of its process.
        is_healthy: whether it is ready, and no fault on demand says otherwise.
        is_connected: whether a process is there and has reported.
        restarts: how often its process was started again.
        counters: what the running process reported; empty while there is none.
    """

    accelerator_id: str
    type: str
    state: State
    is_healthy: bool
    is_connected: bool
    restarts: int
    counters: Mapping[str, int]

    @property
    def labels(self) -> tuple[str, str]:
        """The values of LABELS."""
        return (self.accelerator_id, self.type)


def facts_of(fleet: Fleet) -> tuple[AcceleratorFacts, ...]:
    """The present facts about each accelerator."""
    return tuple(
        AcceleratorFacts(
            accelerator_id=one.id,
            type=one.placement.spec.type,
            state=one.state,
            is_healthy=one.is_healthy,
            is_connected=one.pid is not None and one.state in (State.READY, State.DRAINING),
            restarts=one.restarts,
            counters=dict(one.counters),
        )
        for one in fleet.accelerators
    )


def families(facts: Iterable[AcceleratorFacts]) -> list[Metric]:
    """The metrics, each with its samples of all accelerators."""
    known = tuple(facts)
    return [
        _gauge(
            "accel_health_check_failed",
            "1 while the accelerator is not healthy, else 0 (AcceleratorHealthCheckFailed).",
            [(one.labels, float(not one.is_healthy)) for one in known],
        ),
        _gauge(
            "accel_connectivity_check_failed",
            "1 while no process answers for the accelerator, else 0 (ConnectivityCheckFailed).",
            [(one.labels, float(not one.is_connected)) for one in known],
        ),
        _gauge(
            "accel_memory_usage_bytes",
            "Measured memory of the graphs that are loaded (AcceleratorMemoryUsage).",
            [(one.labels, one.counters.get("memory_bytes", 0)) for one in known],
        ),
        _gauge(
            "accel_streams",
            "Open streams of inferences.",
            [(one.labels, one.counters.get("streams", 0)) for one in known],
        ),
        _gauge("accel_state", "1 for the state that the accelerator is in.", _states(known)),
        _counter(
            "accel_restarts",
            "How often the accelerator's process was started again.",
            [(one.labels, one.restarts) for one in known],
        ),
        *(_counter(f"accel_{name}", text, _counts(known, name)) for name, text in COUNTERS.items()),
        *(
            _counter(name, text, [(key, us / 1e6) for key, us in _counts(known, counted)])
            for counted, (name, text) in TIMES.items()
        ),
        _counter("accel_errors", "Inferences that were refused or failed.", _errors(known)),
    ]


def render(facts: Iterable[AcceleratorFacts]) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(families(facts)))
    return generate_latest(registry)


async def metrics(request: web.Request) -> web.StreamResponse:
    """`GET /metrics` behind the gate."""
    return _answer(call_of(request).service.fleet)


def build_metrics_app(fleet: Fleet) -> web.Application:
    """The plain listener's application; serve it on 127.0.0.1 only."""

    async def plain(request: web.Request) -> web.StreamResponse:
        return _answer(fleet)

    app = web.Application(middlewares=[_local_only], client_max_size=1024)
    app.router.add_get("/metrics", plain, allow_head=False)
    return app


@dataclass(eq=False)  # the registry keeps collectors by identity
class _Collected(Collector):
    """Metrics that were collected already."""

    metrics: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


@web.middleware
async def _local_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    # A web page in a browser of this machine must not read it through a name of its own.
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not is_local_host(hosts[0]):
        raise web.HTTPForbidden
    return await handler(request)


def _answer(fleet: Fleet) -> web.Response:
    return web.Response(body=render(facts_of(fleet)), headers={"Content-Type": CONTENT_TYPE})


def _states(known: Iterable[AcceleratorFacts]) -> list[_Row]:
    return [((*one.labels, state.value), one.state is state) for one in known for state in State]


def _counts(known: Iterable[AcceleratorFacts], name: str) -> list[_Row]:
    return [(one.labels, one.counters[name]) for one in known if name in one.counters]


def _errors(known: Iterable[AcceleratorFacts]) -> list[_Row]:
    return [
        ((*one.labels, name.removeprefix(_REFUSED)), count)
        for one in known
        for name, count in one.counters.items()
        # A process that was taken over must not make up series.
        if name.startswith(_REFUSED) and name.removeprefix(_REFUSED) in REASONS
    ]


def _gauge(name: str, text: str, rows: Iterable[_Row]) -> Metric:
    labels = (*LABELS, "state") if name == "accel_state" else LABELS
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family


def _counter(name: str, text: str, rows: Iterable[_Row]) -> Metric:
    labels = (*LABELS, "reason") if name == "accel_errors" else LABELS
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in rows:
        family.add_metric(values, float(value))
    return family
