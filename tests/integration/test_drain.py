"""A daemon that is told to end says so everywhere before its last call is answered."""

from __future__ import annotations

import json
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import urllib3
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client_runtime import EIPredictor, connect
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import Grant
from tests.conftest import Daemon, eventually, patience, start_daemon, use_home
from tests.integration.conftest import counting_model, one_per_lane

ANSWERS = health_pb2.HealthCheckResponse
# Of one call alone; together they take longer. Well below what a drain waits, and well above what
# it takes to ask how things are.
RUN_SECONDS = 3


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that this test ends."""
    running = start_daemon(tmp_path / "home", "--port", "0")
    use_home(monkeypatch, running.home)
    yield running
    running.stop()


@pytest.fixture
def counters(daemon: Daemon, tmp_path: Path) -> Iterator[list[EIPredictor]]:
    """Count to `steps`, one on each kind of lane, and are loaded."""
    predictors = one_per_lane(counting_model(tmp_path / "counter"))
    for predictor in predictors:
        predictor({"steps": np.int64(1)})
    yield predictors
    for predictor in predictors:
        predictor.close()


def steps_of(predictor: EIPredictor, seconds: float) -> np.int64:
    """As many steps as take about so long."""
    sample = 100_000
    started = time.monotonic()
    predictor({"steps": np.int64(sample)})
    return np.int64(sample * seconds / (time.monotonic() - started))


@pytest.fixture
def public_channel(daemon: Daemon) -> Iterator[grpc.Channel]:
    """A channel to the accelerator, without a ticket: health needs none."""
    ready, row = daemon.ready, daemon.status()["accelerators"][0]
    endpoint = Endpoint(ready["control"], ready["ca_file"], ready["region"], "the test")
    grant = Grant(row["id"], "host", 0, row["endpoint"], row["id"], "no ticket")
    with channels.open_channel(endpoint, grant) as channel:
        yield channel


def healthz(daemon: Daemon) -> tuple[int, Any]:
    """What the control endpoint says of the daemon."""
    context = ssl.create_default_context(cafile=daemon.ready["ca_file"])
    with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
        answer = pool.request("GET", daemon.ready["control"] + "/healthz")
    return answer.status, json.loads(answer.data)


def test_health_ends_before_the_last_call(
    daemon: Daemon, counters: list[EIPredictor], public_channel: grpc.Channel
) -> None:
    """Whoever watches is told, at both endpoints, while calls run, and those are answered."""
    events: list[str] = []

    def watch() -> None:
        request = health_pb2.HealthCheckRequest()
        for answer in health_pb2_grpc.HealthStub(public_channel).Watch(request):
            events.append(ANSWERS.ServingStatus.Name(answer.status))
            if answer.status == ANSWERS.NOT_SERVING:
                return

    def run(counter: EIPredictor) -> None:
        answer = counter({"steps": steps})["count"]
        events.append("answered" if answer == steps else f"{answer} instead of {steps}")

    steps = steps_of(counters[0], RUN_SECONDS)
    watching = threading.Thread(target=watch)
    watching.start()
    eventually(lambda: events == ["SERVING"])
    with connect() as observer:
        before = observer.list().counters.run_messages_in
        running = [threading.Thread(target=run, args=(counter,)) for counter in counters]
        for thread in running:
            thread.start()
        eventually(lambda: observer.list().counters.run_messages_in == before + len(running))

    daemon.process.send_signal(signal.SIGTERM)
    draining = eventually(lambda: answer if (answer := healthz(daemon))[0] != 200 else None)
    assert "answered" not in events

    assert draining == (503, {"status": "draining"})
    assert daemon.process.wait(patience(60)) == 0
    for thread in (watching, *running):
        thread.join(patience(10))
    assert events == ["SERVING", "NOT_SERVING", *["answered"] * len(running)]
