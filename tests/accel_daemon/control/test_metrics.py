"""Metrics: from facts to samples, and who gets to see them."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from accel_daemon.control.metrics import LABELS, AcceleratorFacts, render
from accel_daemon.supervisor.life_cycle import State

BUSY = AcceleratorFacts(
    accelerator_id="eia-" + 32 * "0",
    type="eia2.medium",
    state=State.READY,
    is_healthy=True,
    is_connected=True,
    restarts=2,
    counters={
        "runs": 7,
        "failed_runs": 1,
        "uploaded_bytes": 4096,
        "uploaded_files": 3,
        "loads": 2,
        "memory_bytes": 1_000_000,
        "streams": 4,
        "run_messages_in": 99,
        "made up by a process": 1,
        "refused_made_up": 1,
        "refused_BUSY": 3,
        "queue_us": 1_500_000,
        "compute_us": 250_000,
        "run_bytes_in": 10,
        "run_bytes_out": 20,
        "cache_hits": 6,
    },
)
GONE = AcceleratorFacts("eia-" + 32 * "1", "host", State.BACKING_OFF, False, False, 5, {})


def samples(text: bytes) -> dict[tuple[str, str], float]:
    """Value by name and accelerator id; `accel_state STATE` where it is 1."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            name, labels = sample.name, sample.labels
            if name == "accel_state":
                if sample.value == 0:
                    continue
                name = f"{name} {labels['state']}"
            name = f"{name} {labels['reason']}" if "reason" in labels else name
            found[name, labels["accelerator_id"]] = sample.value
    return found


def test_a_ready_accelerator() -> None:
    """Every value under its name, and nothing that is not listed."""
    found = samples(render([BUSY]))
    assert {accelerator_id for _, accelerator_id in found} == {BUSY.accelerator_id}
    assert {name: value for (name, _), value in found.items()} == {
        "accel_health_check_failed": 0,
        "accel_connectivity_check_failed": 0,
        "accel_memory_usage_bytes": 1_000_000,
        "accel_streams": 4,
        "accel_state ready": 1,
        "accel_restarts_total": 2,
        "accel_runs_total": 7,
        "accel_failed_runs_total": 1,
        "accel_uploaded_bytes_total": 4096,
        "accel_uploaded_files_total": 3,
        "accel_loads_total": 2,
        "accel_cache_hits_total": 6,
        "accel_run_bytes_in_total": 10,
        "accel_run_bytes_out_total": 20,
        "accel_queue_seconds_total": 1.5,
        "accel_compute_seconds_total": 0.25,
        "accel_errors_total BUSY": 3,
    }


def test_an_accelerator_without_process() -> None:
    """Both checks failed, no memory, and no counters: they are the process's."""
    assert {name: value for (name, _), value in samples(render([GONE])).items()} == {
        "accel_health_check_failed": 1,
        "accel_connectivity_check_failed": 1,
        "accel_memory_usage_bytes": 0,
        "accel_streams": 0,
        "accel_state backing-off": 1,
        "accel_restarts_total": 5,
    }


def test_labels_are_bounded() -> None:
    """Id and type, and the state or the reason for one metric each; each series once."""
    seen = set()
    for family in text_string_to_metric_families(render([BUSY, GONE]).decode()):
        for sample in family.samples:
            extra = {"accel_state": {"state"}, "accel_errors_total": {"reason"}}.get(
                sample.name, set()
            )
            assert set(sample.labels) == {*LABELS, *extra}
            series = (sample.name, *sorted(sample.labels.items()))
            assert series not in seen
            seen.add(series)
    assert len(seen) == 2 * (5 + len(State)) + 5 + 6


def test_signed(daemon: Any) -> None:
    """The control endpoint answers who may ask."""
    answer = daemon.call("GET", "/metrics", key=daemon.keys["administrator"])
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    ids = {one["id"] for one in daemon.ready["accelerators"]}
    assert {accelerator_id for _, accelerator_id in samples(answer.data)} == ids


def test_not_allowed(daemon: Any) -> None:
    """Connect alone does not open it."""
    answer = daemon.call("GET", "/metrics", key=daemon.keys["second"])
    assert answer.json()["reason"] == "ACCESS_DENIED"


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("", None, 200), ("", "evil.example", 403), ("/../status", None, 404), ("x", None, 404)],
)
def test_plain_listener(daemon: Any, path: str, host: str | None, status: int) -> None:
    """Metrics for this machine without a signature, and nothing else."""
    url = daemon.ready["metrics"]
    assert url.startswith("http://127.0.0.1:")
    headers = {} if host is None else {"Host": host}
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        answer = pool.request("GET", url + path, headers=headers)
    assert answer.status == status
    assert (b"accel_health_check_failed" in answer.data) == (status == 200)
