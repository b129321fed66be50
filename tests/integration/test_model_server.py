"""`accel serve` from its command line to its end: one real server in front of one real daemon."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client_runtime.serving_client import ServedModel, ServingClient
from client_runtime.serving_wire import inference_pb2
from client_runtime.serving_wire.methods import SERVICES
from tests.conftest import Daemon, eventually, patience
from tests.integration.conftest import local_answer, make_model
from tests.serving_load.clients import Load
from tests.serving_load.models import numbered_model
from tests.serving_load.rolling import roll
from tests.serving_load.server import ModelServer, model_server

X = [[1.0, 2.0, 3.0, 4.0]]


@dataclass
class Served:
    """A server, and the folder of the version of its model `m`."""

    server: ModelServer
    version: Path


@pytest.fixture(scope="module")
def served(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for all tests of this file; the last of them ends it."""
    folder = tmp_path_factory.mktemp("models")
    version = make_model(folder / "m" / "00000003", seed=7)
    monitoring = folder / "monitoring.txt"
    monitoring.write_text("prometheus_config { enable: true }")
    flags = (
        *("--model_name=m", f"--model_base_path={folder / 'm'}", "--mixed_precision=bfloat16"),
        f"--monitoring_config_file={monitoring}",
    )
    with model_server(daemon.home, folder / "log", *flags) as running:
        yield Served(running, version)


@pytest.fixture
def server(served: Served) -> ModelServer:
    """The server alone."""
    return served.server


def test_the_log_says_what_the_originals_says(server: ModelServer) -> None:
    """Where it listens, and which flag had no effect."""
    log = server.log.read_text()

    assert f"Running gRPC ModelServer at 0.0.0.0:{server.port} ..." in log
    assert f"Exporting HTTP/REST API at:localhost:{server.rest_port} ..." in log
    assert log.count("--mixed_precision has no effect here") == 1


def test_predict_by_grpc(served: Served) -> None:
    """The same numbers as TensorFlow's, from the version that is there."""
    method = SERVICES["tensorflow.serving.PredictionService"]["Predict"]
    request = inference_pb2.PredictRequest(model_spec={"name": "m"})
    tensor = request.inputs["x"]
    tensor.dtype, tensor.tensor_content = 1, np.array(X, np.float32).tobytes()
    for size in (1, 4):
        tensor.tensor_shape.dim.add(size=size)

    with grpc.insecure_channel(f"127.0.0.1:{served.server.port}") as channel:
        stub = channel.unary_unary(
            method.path, method.request.SerializeToString, method.response.FromString
        )
        answer = stub(request, timeout=patience(30))

    expected = local_answer(served.version, {"x": np.array(X, np.float32)})
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


def test_googles_client_gets_the_same_bits(server: ModelServer) -> None:
    """Ours and `tensorflow-serving-api`, of all floats that are special, and of text."""
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    x = np.float32([[np.nan, np.inf, -0.0, 1e-42], [0.1, -1e38, 3e38, 7], *np.random.rand(64, 4)])
    text = np.array(["quiet", "", "grüße"], object)
    with (
        ServingClient(f"127.0.0.1:{server.port}", timeout=patience(30)) as ours,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for signature, inputs in (("serving_default", {"x": x}), ("shout", {"text": text})):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = "m", signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            theirs = stub.Predict(request, patience(30)).outputs
            answer = ours.predict("m", inputs, signature=signature)
            assert {name: _bits(one) for name, one in answer.items()} == {
                name: _bits(tf.make_ndarray(one)) for name, one in theirs.items()
            }


def _bits(array: Any) -> Any:
    values = array.tolist() if array.dtype == object else array.tobytes()
    return array.dtype, array.shape, values


def test_versions_roll_under_load(served: Served, home: Path, tmp_path: Path) -> None:
    """Eight clients at both doors see no failure, and no third version is ever alive, or held."""
    base, numbers = tmp_path / "rolling", range(2, 5)
    numbered_model(base / "1", 1)
    for number in numbers:
        numbered_model(tmp_path / str(number), number)
    models = ServedModel("m", str(served.version.parent)), ServedModel("rolling", str(base))
    with ServingClient(f"127.0.0.1:{served.server.port}") as client:
        client.reload(models, timeout=patience(60))

    with Load(served.server, "rolling", deadline=patience(10)) as load:
        eventually(lambda: load.good_since(0) > 100)
        watched = roll(
            *(served.server, "rolling", numbers),
            lambda number: (tmp_path / str(number)).rename(base / str(number)),
        )

    assert set(load.counts()) == {("gRPC", "OK"), ("REST", "OK")}
    assert watched.most_alive == 2
    assert watched.graphs_after == watched.graphs_before


def test_sigterm_ends_it(server: ModelServer) -> None:
    """After the drain, with exit status 0, and the model's memory is free again."""
    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(patience(60)) == 0
    log = server.log.read_text()
    ending = log[log.index("draining") :]
    assert ending.index("UNLOADING") < ending.index("is END")
    assert "Traceback" not in log
