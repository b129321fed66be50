"""A graph that hangs or ends its process is tried twice, and then no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.errors import AcceleratorError, DeadlineError, ModelError
from accel_protocol.lanes import KINDS
from client_runtime import EIPredictor
from tests.conftest import Daemon, eventually, start_daemon, use_home
from tests.integration.conftest import counting_model, over

v1 = tf.compat.v1
FEED = {"x": np.float32(1)}
NAMES: dict[str, Any] = {"input_names": {"x": "x:0"}, "output_names": {"y": "y:0"}}


def aborting(x: Any) -> Any:
    """Ends the process."""
    with tf.control_dependencies([tf.raw_ops.Abort(error_msg="on purpose")]):
        return tf.identity(x)


def hanging(x: Any) -> Any:
    """Waits for what nobody brings, and no time-out or cancellation ends that."""
    (value,) = tf.raw_ops.Unstage(dtypes=[tf.float32], shared_name="never")
    return x + value


def frozen(path: Path, make: Callable[[Any], Any]) -> Path:
    """A frozen graph from x to y."""
    with tf.Graph().as_default() as graph:
        tf.identity(make(v1.placeholder(tf.float32, [], name="x")), name="y")
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that admits what does harm, and lets no run take longer than two seconds."""
    allowed = [f for op in ("Abort", "Unstage") for f in ("--allow-op", f"{op}=a test")]
    options = ("--port", "0", "--sandbox=off", "--run-timeout", "2")
    daemon = start_daemon(tmp_path_factory.mktemp("home"), *options, *allowed)
    yield daemon
    assert daemon.stop() == 0


@pytest.fixture
def permissive(started: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """The daemon, which this test's process uses as a client."""
    use_home(monkeypatch, started.home)
    return started


def strike(daemon: Daemon, path: Path, kind: str) -> AcceleratorError:
    """The error of one call that brings the process down; it is back afterwards."""
    pid = daemon.accelerator_pid()
    with (
        over(kind),
        EIPredictor(path, **NAMES) as harmful,
        pytest.raises(AcceleratorError) as caught,
    ):
        harmful(FEED, timeout=30)
    eventually(lambda: daemon.accelerator_pid() not in (0, pid), 60)
    eventually(lambda: daemon.status()["accelerators"][0]["state"] == "ready", 60)
    return caught.value


def test_a_run_without_a_time_out_ends(permissive: Daemon, tmp_path: Path) -> None:
    """By the operator's bound, and its process goes on."""
    pid = permissive.accelerator_pid()
    with EIPredictor(counting_model(tmp_path / "counter")) as predictor:
        with pytest.raises(DeadlineError):
            predictor({"steps": np.int64(2**60)})
        assert predictor({"steps": np.int64(3)})["count"] == 3
    assert permissive.accelerator_pid() == pid


@pytest.mark.parametrize(
    ("make", "why", "kinds"),
    [
        (aborting, "the process ended with SIGABRT", ("local", "grpc")),
        (hanging, "running it had not ended", ("grpc", "tls")),
    ],
)
def test_what_brings_its_process_down_twice_is_quarantined(
    permissive: Daemon,
    tmp_path: Path,
    model: Path,
    make: Callable[[Any], Any],
    why: str,
    kinds: tuple[str, str],
) -> None:
    """On whatever lanes; the third call is refused with the reason, and all other models work."""
    path = frozen(tmp_path / "harmful.pb", make)
    for kind in kinds:
        assert strike(permissive, path, kind).reason != "GRAPH_QUARANTINED"
    for kind in KINDS:
        with (
            over(kind),
            EIPredictor(path, **NAMES) as harmful,
            pytest.raises(ModelError, match=why) as caught,
        ):
            harmful(FEED)
        assert caught.value.reason == "GRAPH_QUARANTINED"
    (row,) = permissive.status()["accelerators"]
    assert [why in text for text in row["quarantined"].values()].count(True) == 1
    with EIPredictor(model) as other:
        assert other({"x": np.ones((1, 4), np.float32)})["z"] == 4
