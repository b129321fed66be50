"""Every kind of fault on demand, at a real accelerator with a real predictor."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from accel_daemon.control.status_client import call_daemon
from accel_daemon.faults.fault import parse_fault
from accel_daemon.launch_order import Notice
from accel_protocol.errors import (
    AnswerLostError,
    ConnectionLostError,
    CredentialsError,
    ModelError,
)
from accel_protocol.sigv4 import AccessKey
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor, accelerators, connect
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import channel as channels
from client_runtime.transport.grants import request_grant
from client_runtime.transport.lane_choice import VARIABLE
from client_runtime.transport.socket_lane import (
    NoLaneError,
    SocketLane,
    open_local_lane,
    open_tls_lane,
)
from tests.conftest import Daemon, eventually, start_daemon, use_home
from tests.integration.conftest import LoneAccelerator, tf

FEEDS = {"x": np.ones((1, 4), np.float32)}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that takes faults."""
    home = tmp_path_factory.mktemp("home")
    running = start_daemon(home, "--port", "0", "--metrics-port", "0", "--allow-faults")
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def _client(fragile: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is its client; no fault outlives its test."""
    use_home(monkeypatch, fragile.home)
    yield
    clear(fragile)


@pytest.fixture
def warm(fragile: Daemon, model: Path) -> Iterator[EIPredictor]:
    """A predictor that has had an answer, and so knows that its model may be run twice."""
    with EIPredictor(model) as predictor:
        predictor(FEEDS)
        yield predictor


def counting_model(folder: Path) -> Path:
    """A model that counts its calls, so that none must be repeated."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.calls = tf.Variable(0, dtype=tf.int64)

        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"calls": self.calls.assign_add(1), "z": tf.reduce_sum(x)}

    module = Model()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


@pytest.fixture
def counter(fragile: Daemon, tmp_path: Path) -> Iterator[EIPredictor]:
    """A predictor whose model counts its calls; none was made yet."""
    with EIPredictor(counting_model(tmp_path / "counter")) as predictor:
        yield predictor


def large_model(folder: Path) -> Path:
    """A model of 8 MiB with small feeds."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.w = tf.Variable(tf.random.normal([4, 2**19]))

        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            return {"y": tf.reduce_sum(x @ self.w)}

    module = Model()
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return folder


def ask(daemon: Daemon, method: str, path: str, body: object = None) -> Any:
    """A call of the administrator's to the control endpoint."""
    profile = daemon.home / "client.json"
    return call_daemon(profile, method, path, b"" if body is None else json.dumps(body).encode())


def inject(daemon: Daemon, text: str) -> str:
    """Inject a fault; its id."""
    return str(ask(daemon, "POST", "/faults", parse_fault(text).to_document())["fault"]["id"])


def clear(daemon: Daemon) -> None:
    """End all faults."""
    ask(daemon, "DELETE", "/faults")


def happened(daemon: Daemon) -> int:
    """How often the only fault has struck."""
    (row,) = ask(daemon, "GET", "/faults")["faults"]
    return int(row["happened"])


def health(daemon: Daemon) -> Any:
    """What the accelerator's health service says."""
    authority = Path(daemon.ready["ca_file"]).read_bytes()
    credentials = grpc.ssl_channel_credentials(authority)
    with grpc.secure_channel(daemon.ready["accelerators"][0]["endpoint"], credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status


def failed_checks(daemon: Daemon) -> float:
    """The metric of failed health checks."""
    text = urllib.request.urlopen(daemon.ready["metrics"]).read().decode()
    (line,) = [one for one in text.splitlines() if one.startswith("accel_health_check_failed{")]
    return float(line.split()[-1])


def everywhere(daemon: Daemon) -> tuple[Any, float, str]:
    """Health as the health service, the metrics and the API have it."""
    (one,) = accelerators()
    return health(daemon), failed_checks(daemon), one.status


def test_unhealthy_agrees_everywhere(fragile: Daemon, warm: EIPredictor) -> None:
    """All three say so, calls are answered all the same, and all three recover."""
    assert everywhere(fragile) == (SERVING, 0.0, "Ok")
    inject(fragile, "unhealthy")
    assert everywhere(fragile) == (NOT_SERVING, 1.0, "Unavailable")
    warm(FEEDS)
    clear(fragile)
    assert everywhere(fragile) == (SERVING, 0.0, "Ok")


def test_a_fault_is_over_after_its_seconds(fragile: Daemon) -> None:
    """Without anyone clearing it, in the daemon and in the process."""
    inject(fragile, "unhealthy:seconds=3")
    assert everywhere(fragile)[1:] == (1.0, "Unavailable")
    eventually(lambda: everywhere(fragile) == (SERVING, 0.0, "Ok"), 10)


def test_unavailable(fragile: Daemon, warm: EIPredictor) -> None:
    """A typed error that says it may be tried again, and then it can."""
    inject(fragile, "unavailable")
    assert everywhere(fragile) == (NOT_SERVING, 1.0, "Unavailable")
    with pytest.raises(ConnectionLostError, match="on demand") as caught:
        warm(FEEDS, timeout=1.5)
    assert caught.value.retryable
    assert caught.value.reason == "UNAVAILABLE"
    clear(fragile)
    warm(FEEDS)


def test_unavailable_for_a_moment(fragile: Daemon, warm: EIPredictor) -> None:
    """The client comes back by itself."""
    inject(fragile, "unavailable:count=1")
    warm(FEEDS)
    warm(FEEDS)


def test_what_was_not_begun_is_tried_again(fragile: Daemon, counter: EIPredictor) -> None:
    """Also with a model that must not be run twice: Connect and stream were refused at once."""
    inject(fragile, "unavailable:count=1")
    inject(fragile, "expired-credentials:count=1")
    assert counter(FEEDS)["calls"] == 1
    assert counter(FEEDS)["calls"] == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cut_is_survived_where_that_is_safe(
    fragile: Daemon, warm: EIPredictor, when: str
) -> None:
    """A model that may be run twice is run again; the caller sees its answer only."""
    expected = warm(FEEDS)
    inject(fragile, f"drop:count=2,when={when}")
    np.testing.assert_array_equal(warm(FEEDS)["y"], expected["y"])
    eventually(lambda: happened(fragile) == 2)


@pytest.mark.parametrize(("when", "next_one"), [("before", 2), ("after", 3)])
def test_a_cut_is_told_where_it_is_not_safe(
    fragile: Daemon, counter: EIPredictor, when: str, next_one: int
) -> None:
    """Only the caller knows whether its call may run twice; a cut after the work was work done."""
    assert counter(FEEDS)["calls"] == 1
    inject(fragile, f"drop:count=1,when={when}")
    with pytest.raises(AnswerLostError, match="on demand") as caught:
        counter(FEEDS)
    assert caught.value.retryable
    assert counter(FEEDS)["calls"] == next_one


def test_cuts_are_seeded(fragile: Daemon, counter: EIPredictor) -> None:
    """The same seed cuts the same calls."""

    def pattern(seed: int) -> str:
        inject(fragile, f"drop:probability=0.5,seed={seed}")
        found = "".join("x" if is_cut() else "." for _ in range(10))
        clear(fragile)
        return found

    def is_cut() -> bool:
        try:
            counter(FEEDS)
        except AnswerLostError:
            return True
        return False

    counter(FEEDS)
    first = pattern(1)
    assert pattern(1) == first
    assert "x" in first
    assert "." in first
    assert pattern(2) != first


def test_an_upload_that_is_cut_goes_on(fragile: Daemon, tmp_path: Path) -> None:
    """Streams break after two messages; the model arrives all the same, with no byte sent twice."""
    folder = large_model(tmp_path / "large")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert size > 8 * 2**20
    inject(fragile, "drop:messages=2,count=3")
    with EIPredictor(folder) as predictor:
        predictor(FEEDS)
    eventually(lambda: happened(fragile) == 3)


def test_slow_shows_in_the_timing(fragile: Daemon, warm: EIPredictor) -> None:
    """As time on the wire: once there and once back."""
    inject(fragile, "slow:latency_ms=150")
    warm(FEEDS)
    timing = warm.last_timing
    assert timing is not None
    assert 0.3 <= timing.wire < 3
    clear(fragile)
    warm(FEEDS)
    assert warm.last_timing is not None
    assert warm.last_timing.wire < 0.15


def test_bandwidth(fragile: Daemon, warm: EIPredictor) -> None:
    """40 kB at 100 kB a second take 0.4 seconds."""
    inject(fragile, "slow:bytes_per_second=100000")
    started = time.monotonic()
    warm({"x": np.ones((2500, 4), np.float32)})
    assert time.monotonic() - started > 0.4


def test_expired_ticket_is_renewed(fragile: Daemon, warm: EIPredictor) -> None:
    """The client asks for another ticket and goes on."""
    inject(fragile, "expired-credentials:count=1")
    warm(FEEDS)
    eventually(lambda: happened(fragile) == 1)


def test_tickets_that_always_expire(fragile: Daemon, warm: EIPredictor) -> None:
    """After one new ticket the client says what is the matter."""
    inject(fragile, "expired-credentials")
    with pytest.raises(CredentialsError) as caught:
        warm(FEEDS)
    assert caught.value.reason == "TICKET_EXPIRED"


def test_expired_credentials_at_the_control_endpoint(fragile: Daemon, warm: EIPredictor) -> None:
    """Who has a ticket goes on; who asks for one is refused."""
    inject(fragile, "expired-credentials:at=control,seconds=60")
    warm(FEEDS)
    with pytest.raises(CredentialsError, match="expired"):
        connect()


def test_memory_pressure(fragile: Daemon, new_model: Callable[[int], Path]) -> None:
    """What is loaded and idle is evicted, what does not fit is refused, and with room it runs."""
    with EIPredictor(new_model(9)) as predictor, connect() as observer:
        predictor(FEEDS)
        assert len(observer.list().graphs) > 0
        inject(fragile, "memory-pressure:bytes=100")
        assert len(observer.list().graphs) == 0
        with pytest.raises(ModelError) as caught:
            predictor(FEEDS)
        assert caught.value.reason == "MODEL_TOO_LARGE"
        assert caught.value.fields["limit_bytes"] == "100"
        assert not caught.value.retryable
        clear(fragile)
        predictor(FEEDS)
        assert len(observer.list().graphs) == 1


def test_a_process_that_was_not_started_for_faults(lone_accelerator: LoneAccelerator) -> None:
    """It takes no notice of them: nothing is refused, slow or cut."""
    faults = [
        {"id": str(number), "place": "0", "until": None, "fault": {"kind": kind}}
        for number, kind in enumerate(("unavailable", "drop", "expired-credentials"))
    ]
    pipe = lone_accelerator.process.stdin
    assert pipe is not None
    pipe.write(Notice("faults", faults=tuple(faults), version=1).to_line())
    pipe.flush()
    grant = lone_accelerator.grant()
    with lone_accelerator.channel() as channel:
        for _ in range(10):
            channels.call(channel, grant, "GetCapabilities", pb.GetCapabilitiesRequest())
            time.sleep(0.05)


def test_lanes_are_closed_while_a_fault_acts_on_calls(
    fragile: Daemon, warm: EIPredictor, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Open ones end and none opens, so that no call passes by the fault; then they are back."""
    profile = json.loads((fragile.home / "client.json").read_text())
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    endpoint = Endpoint(profile["control"], profile["ca_file"], profile["region"], "the test")
    grant = request_grant(endpoint, key, None)

    def open_both() -> list[SocketLane]:
        made = [open_local_lane(grant), open_tls_lane(endpoint, grant)]
        for lane in made:
            lane.wait_until_open()
        return made

    lanes = open_both()
    assert all(lane.is_open() for lane in lanes)

    inject(fragile, "slow:latency_ms=10")

    eventually(lambda: not any(lane.is_open() for lane in lanes), 10)
    with pytest.raises(NoLaneError):
        open_local_lane(grant)
    with pytest.raises(NoLaneError):
        open_tls_lane(endpoint, grant).wait_until_open()
    assert warm(FEEDS)["z"] == 4
    monkeypatch.setenv(VARIABLE, "tls,grpc")
    with EIPredictor(model) as other:
        assert other(FEEDS)["z"] == 4  # although it sent the call with the opening
    clear(fragile)
    for lane in [*lanes, *open_both()]:
        lane.close()
