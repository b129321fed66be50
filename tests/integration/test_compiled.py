"""OpenVINO behind TensorFlow in a real accelerator, confined as strictly as this host allows."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from accel_daemon.sandbox.enter import default_level
from accel_daemon.sandbox.levels import Level
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor, connect
from client_runtime.cli.main import cli
from client_runtime.transport.attachment import Attachment
from tests.accel_daemon.engines.compiled_models import save_network
from tests.conftest import Daemon, eventually, start_daemon, use_home
from tests.integration.conftest import local_answer

pytest.importorskip("openvino", reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that can be compiled, and is faster then."""
    return save_network(tmp_path_factory.mktemp("network") / "model")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon as it is by default."""
    daemon = start_daemon(tmp_path_factory.mktemp("default") / "home", "--port", "0")
    yield daemon
    assert daemon.stop() == 0


@pytest.fixture
def daemon(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """It, and this process its client."""
    use_home(monkeypatch, running.home)
    return running


def images(seed: int = 0) -> dict[str, Any]:
    """A feed."""
    return {"image": np.random.default_rng(seed).normal(size=(1, 64, 64, 3)).astype("f")}


def engine_of(attachment: Attachment) -> str:
    """What executes the only graph there now."""
    (graph,) = attachment.list().graphs
    return str(graph.engine)


def call_until_compiled(predictor: EIPredictor, attachment: Attachment) -> str:
    """The engine that took over."""

    def compiled() -> str | None:
        predictor(images())
        engine = engine_of(attachment)
        return engine if engine.startswith("openvino ") else None

    return str(eventually(compiled, 120))


def test_a_network_is_compiled_and_answers_as_before(network: Path, daemon: Daemon) -> None:
    """Strictly confined, and again after its process was killed."""
    if default_level() is Level.STRICT:
        assert daemon.status()["accelerators"][0]["sandbox"].startswith("strict")
    expected = [local_answer(network, images(seed)) for seed in range(3)]
    with connect() as attachment, EIPredictor(network, attachment=attachment) as predictor:
        assert_close(predictor(images(0)), expected[0])
        assert engine_of(attachment).startswith("tensorflow ")
        assert " x)" in call_until_compiled(predictor, attachment)
        for seed in range(3):
            assert_close(predictor(images(seed)), expected[seed])
        pid = daemon.accelerator_pid()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: daemon.accelerator_pid() not in (0, pid), 60)
        assert_close(predictor(images(1)), expected[1])
        call_until_compiled(predictor, attachment)
        assert_close(predictor(images(2)), expected[2])


def test_smi_and_bench_say_what_executes_a_graph(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO, once it has taken over; and whether in 16 bits, where that was asked for."""
    option = ("--accelerator", "host,precision=bf16")
    running = start_daemon(tmp_path / "home", "--port", "0", *option)
    use_home(monkeypatch, running.home)
    with connect() as attachment, EIPredictor(network, attachment=attachment) as predictor:
        call_until_compiled(predictor, attachment)
        eventually(lambda: "bf16" in engine_of(attachment), 60)
        engine = engine_of(attachment)
        assert " in bf16 (" in engine or ", not bf16: " in engine
    smi = CliRunner().invoke(cli, ["smi", "--json"])
    (row,) = json.loads(smi.output)["accelerators"]
    assert [graph["engine"] for graph in row["graphs"]] == [engine]
    text = CliRunner().invoke(cli, ["smi"])
    assert engine in text.output
    np.save(tmp_path / "image.npy", images()["image"])
    how = ["--input", f"image=@{tmp_path / 'image.npy'}", "--runs", "3", "--no-local", "--json"]
    bench = CliRunner().invoke(cli, ["bench", str(network), *how])
    assert json.loads(bench.output)["engine"] == engine
    assert running.stop() == 0


def test_the_operator_can_leave_it_out(
    network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an option of the accelerator."""
    running = start_daemon(tmp_path / "home", "--port", "0", "--accelerator", "host,compile=off")
    use_home(monkeypatch, running.home)
    with connect() as attachment, EIPredictor(network, attachment=attachment) as predictor:
        assert not [one for one in attachment.capabilities().engines if "openvino" in one]
        predictor(images())
        predictor(images())
        assert engine_of(attachment).startswith("tensorflow ")
    assert running.stop() == 0


def test_a_model_is_unloaded_while_it_is_compiled(network: Path, daemon: Daemon) -> None:
    """And loaded, and compiled, by the next calls."""
    with connect() as attachment, EIPredictor(network, attachment=attachment) as predictor:
        for graph in attachment.list().graphs:
            attachment._call("Unload", pb.UnloadRequest(graph_id=graph.graph_id))
        for _ in range(2):
            predictor(images())
        attachment._call("Unload", pb.UnloadRequest(graph_id=attachment.list().graphs[0].graph_id))
        call_until_compiled(predictor, attachment)
        assert_close(predictor(images()), local_answer(network, images()))


def assert_close(got: Any, wanted: Any) -> None:
    """Equal up to rounding."""
    assert got.keys() == wanted.keys()
    for alias in wanted:
        np.testing.assert_allclose(got[alias], wanted[alias], 1e-4, 1e-4)
