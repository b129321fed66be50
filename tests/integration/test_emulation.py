"""An emulated type holds what the real one held, and on request is as fast as it was."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import CredentialsError, DeadlineError, ModelError
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor, accelerators, connect
from client_runtime.models.model import open_model
from client_runtime.models.selection import Choice
from client_runtime.transport import channel as channels
from tests.conftest import Daemon, eventually, start_daemon, use_home

tf = pytest.importorskip("tensorflow", reason="models are made with TensorFlow")

GIB = 1 << 30
# Float32 weights of a square layer: just below and just above one GiB.
FITS, TOO_LARGE = 16_000, 16_500
NAMES: dict[str, Any] = {"input_names": {"x": "x:0"}, "output_names": {"y": "y:0"}}


def dense(folder: Path, size: int, repeats: int = 1) -> Path:
    """A SavedModel of one square layer of zeros, applied so many times."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.w = tf.Variable(tf.zeros([size, size]), name="w")

        @tf.function(input_signature=[tf.TensorSpec([None, size], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            for _ in range(repeats):
                x = x @ self.w
            return {"y": x}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder


def frozen_zeros(path: Path, size: int) -> Path:
    """A frozen graph whose weights are large in memory, and small in the file."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, size], name="x")
        tf.matmul(x, tf.constant(0.0, shape=[size, size]), name="y")
        path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.fixture(scope="module")
def emulating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a small emulated accelerator and a paced one."""
    running = start_daemon(
        tmp_path_factory.mktemp("home"),
        *("--port", "0", "--accelerator", "eia1.medium", "--accelerator", "eia2.large,pace=on"),
    )
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def _use(emulating: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    use_home(monkeypatch, emulating.home)


def used_bytes(ordinal: int) -> int | None:
    """What the control endpoint says that an accelerator's graphs take."""
    return accelerators()[ordinal].used_memory_bytes


def test_a_model_that_does_not_fit_is_refused_each_time(tmp_path: Path, emulating: Daemon) -> None:
    """With the original's error block, what was needed and what would fit; nothing stays loaded."""
    folder = dense(tmp_path / "large", TOO_LARGE)
    x = np.zeros((1, TOO_LARGE), np.float32)
    with EIPredictor(folder, accelerator_id=0) as predictor:
        with pytest.raises(ModelError) as caught:
            predictor({"x": x})
        started = time.monotonic()
        with pytest.raises(ModelError) as again:
            predictor({"x": x})
        assert time.monotonic() - started < 1
    error = caught.value
    accelerator = emulating.ready["accelerators"][0]["id"]
    assert (error.reason, again.value.reason) == ("MODEL_TOO_LARGE", "MODEL_TOO_LARGE")
    assert error.fields == {
        "needed_bytes": str(4 * TOO_LARGE**2),
        "limit_bytes": str(GIB),
        "accelerator_type": "eia1.medium",
        "fitting_type": "eia2.medium",
    }
    assert "1039 MiB" in str(error)
    assert "type eia2.medium" in str(error)
    assert re.search(
        r"\nLast Error:\n"
        r"    EI Error Code: \[12, 5, 13\]\n"
        r"    EI Error Description: Internal error\n"
        rf"    EI Request ID: TF-\S+  --  EI Accelerator ID: {accelerator}\n"
        r"    EI Client Version: \S+$",
        str(error),
    )
    with connect(accelerator_id=0) as attachment:
        assert list(attachment.list().graphs) == []
        assert attachment.list().process.memory_bytes < GIB


def test_a_model_just_below_the_limit_runs(tmp_path: Path) -> None:
    """And makes room for itself: what was loaded and idle is unloaded."""
    small = dense(tmp_path / "small", 4_000)
    with EIPredictor(small, accelerator_id=0) as predictor:
        predictor({"x": np.zeros((1, 4_000), np.float32)})
    path = frozen_zeros(tmp_path / "fits.pb", FITS)
    with EIPredictor(path, accelerator_id=0, **NAMES) as predictor:
        answer = predictor({"x": np.zeros((1, FITS), np.float32)})["y"]
    assert answer.shape == (1, FITS)
    with connect(accelerator_id=0) as attachment:
        (graph,) = attachment.list().graphs
        assert graph.memory_bytes == 4 * FITS**2
    eventually(lambda: used_bytes(0) == 4 * FITS**2)


@pytest.mark.usefixtures("each_lane")
def test_feeds_that_do_not_fit_are_refused_and_the_graph_stays(tmp_path: Path) -> None:
    """What a run computes takes memory too."""
    folder = dense(tmp_path / "small", 1_000, repeats=2)
    with EIPredictor(folder, accelerator_id=0) as predictor:
        predictor({"x": np.zeros((1, 1_000), np.float32)})
        with pytest.raises(ModelError, match="these feeds") as caught:
            predictor({"x": np.zeros((200_000, 1_000), np.float32)})
        predictor({"x": np.zeros((2, 1_000), np.float32)})
    assert caught.value.reason == "MODEL_TOO_LARGE"


def test_a_frozen_graph_is_weighed_by_what_its_constants_take(tmp_path: Path) -> None:
    """However few bytes its file has."""
    path = frozen_zeros(tmp_path / "zeros.pb", TOO_LARGE)
    assert path.stat().st_size < 1_000
    predictor = EIPredictor(path, accelerator_id=0, **NAMES)
    with predictor, pytest.raises(ModelError) as caught:
        predictor({"x": np.zeros((1, TOO_LARGE), np.float32)})
    assert caught.value.fields["needed_bytes"] == str(4 * TOO_LARGE**2)


@pytest.mark.usefixtures("each_lane")
def test_a_paced_run_takes_as_long_as_the_type_would(tmp_path: Path) -> None:
    """25 GFLOP at 2 TFLOPS."""
    size, repeats = 250, 100
    folder = dense(tmp_path / "paced", size, repeats)
    rows = 2_000
    x = np.zeros((rows, size), np.float32)
    flops = 2 * rows * size * size * repeats
    with EIPredictor(folder, accelerator_id=1) as predictor:
        predictor({"x": x})
        timing = predictor.last_timing
    assert timing is not None
    assert timing.flops_32 == flops
    assert timing.emulated == pytest.approx(flops / 2e12, abs=1e-5)
    assert timing.compute + timing.paced >= timing.emulated - 1e-3


@pytest.mark.usefixtures("each_lane")
def test_a_paced_run_that_cannot_be_in_time_says_so(tmp_path: Path) -> None:
    """The deadline holds for the emulated device too; the sleep is given up in time."""
    folder = dense(tmp_path / "late", 100)
    with EIPredictor(folder, accelerator_id=1) as predictor:
        predictor({"x": np.zeros((1, 100), np.float32)})
        started = time.monotonic()
        with pytest.raises(DeadlineError):
            predictor({"x": np.zeros((3_000_000, 100), np.float32)}, timeout=0.001)
        assert time.monotonic() - started < 20


def test_credentials_that_are_refused_show_the_code_of_the_original(
    tmp_path: Path, emulating: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was reached, so no accelerator is named."""
    folder = dense(tmp_path / "model", 2)
    profile = json.loads((emulating.home / "client.json").read_text())
    changed = {**profile, "secret_access_key": "x" * 40}
    (tmp_path / "client.json").write_text(json.dumps(changed))
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))
    with EIPredictor(folder) as predictor, pytest.raises(CredentialsError) as caught:
        predictor({"x": np.zeros((1, 2), np.float32)})
    lines = str(caught.value).splitlines()
    assert "    EI Error Code: [3, 16, 8]" in lines
    assert "    EI Error Description: Unable to authenticate with accelerator" in lines
    request = caught.value.request_id
    assert f"    EI Request ID: TF-{request}  --  EI Accelerator ID: unknown" in lines


def test_load_answers_with_the_operations_of_one_row(tmp_path: Path) -> None:
    """Unknown sizes count as 1."""
    model = open_model(dense(tmp_path / "model", 64), Choice())
    with connect(accelerator_id=0) as attachment:
        attachment.prepare(model.bundle())
        channel, grant = attachment._reached()
        request = pb.LoadRequest(graph_id=model.bundle().graph_id)
        *_, last = channels.call(channel, grant, "Load", request)
    assert last.graph.operations == pb.Operations(flops_32=2 * 64 * 64)
    assert last.graph.memory_bytes == 4 * 64 * 64


def test_what_is_emulated_is_told() -> None:
    """By GetCapabilities, and by the list of accelerators."""
    with connect(accelerator_id=1) as attachment:
        told = attachment.capabilities()
    assert (told.emulated_memory_bytes, told.tera_flops_16, told.tera_flops_32) == (4 * GIB, 16, 2)
    assert told.paced
    medium, large = accelerators()
    assert (medium.memory_bytes, medium.tera_flops_32, medium.paced) == (GIB, 1, False)
    assert (large.memory_bytes, large.tera_flops_16, large.paced) == (4 * GIB, 16, True)
