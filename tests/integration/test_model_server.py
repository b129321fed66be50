"""`accel serve` from its command line to its end: one real server in front of one real daemon."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client_runtime.serving_wire import inference_pb2
from client_runtime.serving_wire.methods import SERVICES
from tests.conftest import Daemon, environment, eventually, patience
from tests.integration.conftest import local_answer, make_model

X = [[1.0, 2.0, 3.0, 4.0]]


@dataclass
class ModelServer:
    """A running `accel serve`.

    Attributes:
        model: the folder of the version that it serves.
    """

    process: subprocess.Popen[bytes]
    port: int
    rest_port: int
    log: Path
    model: Path

    def url(self, path: str) -> str:
        """Of the REST port."""
        return f"http://127.0.0.1:{self.rest_port}{path}"

    def get(self, path: str) -> bytes | None:
        """What is there; None where nobody listens, or where it is not well."""
        try:
            with urllib.request.urlopen(self.url(path), timeout=patience(30)) as answer:
                return bytes(answer.read())
        except urllib.error.URLError:
            return None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def server(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """One for all tests of this file; the last of them ends it."""
    folder = tmp_path_factory.mktemp("models")
    version = make_model(folder / "m" / "00000003", seed=7)
    monitoring = folder / "monitoring.txt"
    monitoring.write_text("prometheus_config { enable: true }")
    port, rest_port = _free_port(), _free_port()
    command = [
        *(sys.executable, "-m", "client_runtime.cli.main", "serve"),
        *(f"--port={port}", f"--rest_api_port={rest_port}", f"--model_base_path={folder / 'm'}"),
        *("--model_name=m", f"--monitoring_config_file={monitoring}", "--mixed_precision=bfloat16"),
    ]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(daemon.home), stderr=output)
    running = ModelServer(process, port, rest_port, log, version)
    eventually(lambda: process.poll() is not None or running.get("/readyz"), 60)
    assert process.poll() is None, log.read_text()
    yield running
    process.kill()
    process.wait()


def test_the_log_says_what_the_originals_says(server: ModelServer) -> None:
    """Where it listens, and which flag had no effect."""
    log = server.log.read_text()

    assert f"Running gRPC ModelServer at 0.0.0.0:{server.port} ..." in log
    assert f"Exporting HTTP/REST API at:localhost:{server.rest_port} ..." in log
    assert log.count("--mixed_precision has no effect here") == 1


def test_predict_by_grpc(server: ModelServer) -> None:
    """The same numbers as TensorFlow's, from the version that is there."""
    method = SERVICES["tensorflow.serving.PredictionService"]["Predict"]
    request = inference_pb2.PredictRequest(model_spec={"name": "m"})
    tensor = request.inputs["x"]
    tensor.dtype, tensor.tensor_content = 1, np.array(X, np.float32).tobytes()
    for size in (1, 4):
        tensor.tensor_shape.dim.add(size=size)

    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = channel.unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        answer = stub(request, timeout=patience(30))

    expected = local_answer(server.model, {"x": np.array(X, np.float32)})
    np.testing.assert_allclose(answer.outputs["y"].float_val, expected["y"][0], rtol=1e-5)
    assert answer.model_spec.version.value == 3


def test_predict_by_rest(server: ModelServer) -> None:
    """The same again."""
    body = json.dumps({"signature_name": "shout", "inputs": ["quiet"]}).encode()
    with urllib.request.urlopen(server.url("/v1/models/m:predict"), body, patience(30)) as answer:
        assert json.load(answer) == {"outputs": ["QUIET"]}


def test_metrics_and_health_know_the_model(server: ModelServer) -> None:
    """Both ports say how it is."""
    metrics = server.get("/monitoring/prometheus/metrics") or b""
    assert b':tensorflow:serving:request_count{model_name="m",status="OK"}' in metrics

    def check(name: str) -> Any:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            request = health_pb2.HealthCheckRequest(service=name)
            return health_pb2_grpc.HealthStub(channel).Check(request, patience(30)).status

    assert [check(name) for name in ("", "m")] == [health_pb2.HealthCheckResponse.SERVING] * 2


def test_sigterm_ends_it(server: ModelServer) -> None:
    """After the drain, with exit status 0, and the model's memory is free again."""
    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(patience(60)) == 0
    log = server.log.read_text()
    assert log.index("draining") < log.index("UNLOADING") < log.index("is END")
    assert "Traceback" not in log
