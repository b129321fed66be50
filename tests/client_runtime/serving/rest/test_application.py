"""The REST API over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from accel_protocol.errors import Status
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.access.room import Room
from client_runtime.serving.events import Event, RequestBegan, RequestEnded, RequestRefused
from client_runtime.serving.rest.hooks import Hooks, Page
from client_runtime.serving.rest.options import RestOptions
from client_runtime.serving_wire import inference_pb2
from client_runtime.serving_wire.tensor_protos import to_array, to_proto
from tests.client_runtime.serving.rest.conftest import Server, serve
from tests.conftest import eventually

PREDICT = "/v1/models/half:predict"
INSTANCES = '{"instances": [2.0, 3.0, 4.0]}'


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/half:predict",
        "/v1/models/half/versions/3:predict",
        "/v1/models/half/labels/stable:predict",
        "/V1/Models/h%61lf/Versions/0003:predict",
    ],
)
def test_predict_by_latest_version_and_label(server: Server, path: str) -> None:
    """Rows in, rows out, each item on one line."""
    answer = server.predict(INSTANCES, path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Model-Version"] == "3"
    assert answer.body == b'{\n    "predictions": [3.0, 3.5, 4.0\n    ]\n}'


def test_columns_answer_columns(server: Server) -> None:
    """Each element is on a line of its own."""
    answer = server.predict('{"inputs": [2.0, 3.0]}')
    assert answer.body == b'{\n    "outputs": [\n        3.0,\n        3.5\n    ]\n}'


def test_named_signature(server: Server) -> None:
    """It may be named, and has several inputs and outputs by name."""
    rows = '{"signature_name": "pair", "instances": [{"a": 1, "b": 2}, {"b": 4, "a": 0.5}]}'
    assert server.predict(rows).json == {
        "predictions": [{"sum": 3.0, "b": 2}, {"sum": 4.5, "b": 4}]
    }
    columns = '{"signature_name": "pair", "inputs": {"a": 1, "b": 2, "c": null}}'
    assert server.predict(columns).json == {"outputs": {"sum": 3.0, "b": 2}}


def test_output_filter(server: Server) -> None:
    """Of several outputs the named ones alone are answered; one is without its name."""
    body = '{"signature_name": "pair", "inputs": {"a": 1, "b": 2}, "output_filter": ["sum"]}'
    assert server.predict(body).json == {"outputs": 3.0}
    wrong = server.predict('{"inputs": 1, "output_filter": "y"}')
    assert wrong.status == 400
    assert "'output_filter'" in wrong.error


def test_bytes(server: Server) -> None:
    """Bytes go in as base64, and come out so if the output's name says that they are bytes."""
    body = json.dumps({"signature_name": "echo", "instances": [{"b64": "/wA="}, "plain"]})
    assert server.predict(body).json == {"predictions": [{"b64": "/wA="}, {"b64": "cGxhaW4="}]}
    raw = server.predict(json.dumps({"signature_name": "text", "instances": [{"b64": "/wA="}]}))
    assert b'"\xff\\u0000"' in raw.body


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("", 400, "JSON Parse error: The document is empty"),
        ("x = [1]", 400, "JSON Parse error: Invalid value. at offset: 0"),
        ("[1]", 400, "JSON Value: [1] Is not object"),
        ('{"instances": [1e999]}', 400, "Number too big to be stored in double. at offset: 15"),
        ('{"signature_name": 7}', 400, "'signature_name' key must be a string value."),
        ('{"signature_name": "s"}', 400, 'Serving signature name: "s" not found in signature def'),
        ("{}", 400, "Missing 'inputs' or 'instances' key"),
        (
            '{"instances": ["a"]}',
            400,
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        ('{"signature_name": "nothing", "inputs": []}', 400, "input map for signature: nothing"),
        ('{"signature_name": "mean", "instances": [1]}', 400, "y has no shape information "),
        ('{"signature_name": "unequal", "instances": [1, 2]}', 400, "inconsistent batch size: 1"),
        ('{"signature_name": "phase", "inputs": 1}', 400, "for tensor type: complex64"),
    ],
)
def test_refused_bodies(server: Server, body: str, status: int, words: str) -> None:
    """In TensorFlow Serving's words."""
    answer = server.predict(body)
    assert answer.status == status
    assert words in answer.error


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/other", 400, "Malformed request: GET /v1/other"),
        ("POST", "/v1/other", 400, "Malformed request: POST /v1/other"),
        ("PUT", PREDICT, 400, f"Malformed request: PUT {PREDICT}"),
        ("POST", PREDICT + "?a=1", 400, f"Malformed request: POST {PREDICT}?a=1"),
        ("POST", "/v1/models/a/versions/9223372036854775808:regress", 400, "to numeric."),
        ("POST", "/v1/models/none:predict", 404, "Servable not found for request: Latest(none)"),
        ("POST", "/v1/models/half/versions/5:predict", 404, "Specific(half, 5)"),
        ("POST", "/v1/models/half/labels/new:predict", 400, "servable version label: new"),
        ("GET", "/v1/models/none", 404, "Could not find any versions of model none"),
        ("GET", "/v1/models/half/versions/5", 404, "Could not find version 5 of model half"),
    ],
)
def test_refused_paths(server: Server, method: str, path: str, status: int, words: str) -> None:
    """In TensorFlow Serving's words."""
    answer = server.ask(method, path, '{"instances": [1]}')
    assert answer.status == status
    assert words in answer.error


def test_examples_with_numbers_that_are_too_big(server: Server) -> None:
    """They are no JSON."""
    answer = server.ask("POST", "/v1/models/half:regress", '{"examples": [{"x": 1e999}]}')
    assert "Number too big" in answer.error


def test_the_body_is_read_before_the_model_is_looked_up(server: Server) -> None:
    """So what is no JSON is said first."""
    assert "JSON Parse error" in server.predict("", "/v1/models/none:predict").error


def test_paths_outside_are_not_found(server: Server) -> None:
    """With a page, not with JSON."""
    answer = server.ask("GET", "/other")
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/html")


def test_malformed_head(server: Server) -> None:
    """Other methods mean nothing on any path."""
    assert server.ask("HEAD", "/v1/models/half").status == 400


def test_classify_and_regress(server: Server) -> None:
    """Examples in, results out."""
    body = '{"signature_name": "r", "examples": [{"x": 80.0}, {"x": [4.0]}]}'
    regressed = server.ask("POST", "/v1/models/half:regress", body)
    assert regressed.body == b'{\n    "results": [42.0, 4.0]\n}'
    classified = server.ask("POST", "/v1/models/half/labels/stable:classify", body)
    assert classified.body == b'{\n    "results": [[["", 42.0]], [["", 4.0]]\n    ]\n}'
    assert classified.headers["X-Model-Version"] == "3"


@pytest.mark.parametrize("path", ["", "/versions/3", "/labels/any"])
def test_status(server: Server, path: str) -> None:
    """Of all versions or one; a label changes nothing."""
    answer = server.ask("GET", f"/v1/models/half{path}")
    status = {"error_code": "OK", "error_message": ""}
    assert answer.json == {
        "model_version_status": [{"version": "3", "state": "AVAILABLE", "status": status}]
    }


def test_metadata(server: Server) -> None:
    """The signatures, with the values that are not set."""
    answer = server.ask("GET", "/v1/models/half/labels/stable/metadata")
    info = {"dtype": "DT_FLOAT"}
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    definition = {
        "inputs": {"x": {**info, "tensor_shape": shape, "name": "x:0"}},
        "outputs": {"y": {**info, "tensor_shape": shape, "name": "y:0"}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert answer.json == {
        "model_spec": {"name": "half", "signature_name": "", "version": "3"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": definition}}},
    }


def test_listing(server: Server) -> None:
    """All models with their versions, where TensorFlow Serving answers an error."""
    (model,) = server.ask("GET", "/v1/models").json["models"]
    assert (model["name"], model["version_labels"]) == ("half", {"stable": "3"})
    assert model["model_version_status"][0]["state"] == "AVAILABLE"
    with serve(RestOptions(list_models=False)) as strict:
        answer = strict.ask("GET", "/v1/models")
    assert (answer.status, answer.error) == (400, "Missing model name in request.")


def test_npy(server: Server) -> None:
    """An array of NumPy's is answered with one."""
    sent = io.BytesIO()
    np.save(sent, np.float32([[2, 4]]))
    headers = {"Content-Type": "application/x-npy"}
    answer = server.ask("POST", PREDICT, sent.getvalue(), headers)
    assert answer.headers["Content-Type"] == "application/x-npy"
    assert answer.headers["X-Model-Version"] == "3"
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.body)), np.float32([[3, 4]]))
    assert server.ask("POST", PREDICT, b"[2, 4]", headers).error.startswith("The body is no .npy")


def test_protobuf(server: Server) -> None:
    """A PredictRequest as the body is answered with a PredictResponse."""
    request = inference_pb2.PredictRequest()
    request.inputs["x"].CopyFrom(to_proto(np.float32([2, 4]), content=True))
    headers = {"Content-Type": "application/x-protobuf"}
    answer = server.ask("POST", PREDICT, request.SerializeToString(), headers)
    assert answer.headers["Content-Type"] == "application/x-protobuf"
    response = inference_pb2.PredictResponse.FromString(answer.body)
    assert to_array(response.outputs["y"]).tolist() == [3.0, 4.0]
    assert server.ask("POST", PREDICT, b"\xff", headers).status == 400
    request.model_spec.name, request.model_spec.signature_name = "other", "mean"
    answer = server.ask("POST", PREDICT, request.SerializeToString(), headers)
    response = inference_pb2.PredictResponse.FromString(answer.body)
    assert (response.model_spec.name, response.model_spec.signature_name) == ("half", "mean")


def test_compressed_requests(server: Server) -> None:
    """They are unpacked; what is no gzip is refused."""
    headers = {"Content-Encoding": "gzip"}
    packed = gzip.compress(INSTANCES.encode())
    assert server.ask("POST", PREDICT, packed, headers).json == {"predictions": [3.0, 3.5, 4.0]}
    assert server.ask("POST", PREDICT, packed[:-9], headers).status == 400


def test_bodies_are_bounded() -> None:
    """By their own size, by what they hold, and all of them together."""
    body = json.dumps({"instances": [1.0] * 400})
    packed = gzip.compress(body.encode())
    with serve(RestOptions(max_body_bytes=1000, max_unpacked_bytes=1500)) as server:
        assert server.predict(body).status == 413
        answer = server.ask("POST", PREDICT, packed, {"Content-Encoding": "gzip"})
        assert (answer.status, answer.error) == (413, "The body holds more than 1500 bytes.")
    with serve(RestOptions(max_held_bytes=1000)) as server:
        assert server.predict(body).status == 429
        assert server.predict(INSTANCES).status == 200


def test_compressed_answers() -> None:
    """Only by option, and to clients that take them."""
    body = json.dumps({"instances": [1.0] * 400})
    accepts = {"Accept-Encoding": "br, gzip"}
    with serve(RestOptions(gzip_answers=True)) as server:
        packed = server.ask("POST", PREDICT, body, accepts)
        plain = server.ask("POST", PREDICT, body)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_answers_are_not_compressed_by_themselves(server: Server) -> None:
    """As clients of TensorFlow Serving know it."""
    body = json.dumps({"instances": [1.0] * 400})
    answer = server.ask("POST", PREDICT, body, {"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers


def test_cross_origin() -> None:
    """Headers by option; preflights are answered either way, if they name a web page's origin."""
    with serve(RestOptions(cors=True)) as server:
        answer = server.predict("")
        preflight = server.ask("OPTIONS", PREDICT, headers={"Origin": "http://a.example"})
    for each in (answer, preflight):
        assert each.headers["Access-Control-Allow-Origin"] == "*"
        assert each.headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert each.headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert (preflight.status, preflight.body) == (200, b"")


def test_preflight_without_origin(server: Server) -> None:
    """It is refused without words."""
    answer = server.ask("OPTIONS", PREDICT)
    assert (answer.status, answer.body) == (400, b"")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_request_ids(server: Server) -> None:
    """A request's id comes back; one without an id gets one."""
    assert (
        server.ask("GET", "/v1/x", headers={"X-Request-Id": "a-7"}).headers["X-Request-Id"] == "a-7"
    )
    assert len(server.ask("GET", "/v1/x").headers["X-Request-Id"]) == 16


def test_health() -> None:
    """Alive always; ready with all models, and until draining."""
    with serve(RestOptions()) as server:
        assert server.ask("GET", "/healthz").status == 200
        assert server.ask("GET", "/readyz").status == 200
        server.model.is_ready = False
        assert server.ask("GET", "/readyz").status == 503
        server.model.is_ready = True
        server.hooks.draining.set()
        assert server.ask("GET", "/readyz").status == 503
        assert server.ask("GET", "/healthz").status == 200
        answer = server.predict(INSTANCES)
        assert (answer.status, answer.headers["Connection"]) == (200, "close")


def test_time_out() -> None:
    """A run that takes too long is stopped and answered so."""
    with serve(RestOptions(timeout_seconds=0.2)) as server:
        answer = server.predict('{"signature_name": "wait", "instances": [1]}')
    assert (answer.status, answer.error) == (504, "Timed out waiting for notification")


def test_a_request_that_waited_too_long_is_not_run() -> None:
    """Its time counts until a thread takes it up."""
    with serve(RestOptions(timeout_seconds=1e-9)) as server:
        assert server.predict(INSTANCES).status == 504
        assert not server.model.bounds


def test_client_that_leaves() -> None:
    """Its run is cancelled, and the observer is told so."""
    told: list[Event] = []
    with serve(RestOptions(timeout_seconds=0), Hooks(observe=told.append)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", PREDICT, '{"signature_name": "wait", "instances": [1]}')
        eventually(lambda: server.model.bounds)
        connection.close()
        eventually(lambda: server.model.cancelled)
        eventually(lambda: len(told) == 2)
    ended = told[1]
    assert isinstance(ended, RequestEnded)
    assert (ended.model, ended.status, ended.bytes_out) == ("half", Status.CANCELLED, 0)


def test_keys_are_needed_but_for_health(tmp_path: Path) -> None:
    """For pages too; what was refused is told once."""
    told: list[Event] = []
    keys = tmp_path / "keys"
    keys.write_text(f"one sha256:{hashlib.sha256(b'k').hexdigest()} *")
    hooks = Hooks(
        {"/metrics": lambda: Page(b"up 1\n")},
        Guard(KeyFile(str(keys)), told.append),
        told.append,
    )
    with serve(RestOptions(), hooks) as server:
        key = {"Authorization": "Bearer k"}
        assert server.ask("GET", "/metrics", headers=key).body == b"up 1\n"
        refused = server.ask("GET", "/metrics")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert server.predict(INSTANCES).error.startswith("An API key is needed")
        assert server.ask("GET", "/healthz").status == 200
        refusals = [one for one in told if isinstance(one, RequestRefused)]
        assert len(refusals) == len(told) == 2
        assert {one.status for one in refusals} == {Status.UNAUTHENTICATED}
        assert {one.caller.peer for one in refusals} == {"127.0.0.1"}
        assert server.ask("POST", PREDICT, INSTANCES, key).status == 200


def test_a_request_is_told_when_it_begins_and_ends() -> None:
    """Once each, with its messages, and its bytes as they were sent."""
    told: list[Event] = []
    with serve(RestOptions(), Hooks(observe=told.append)) as server:
        answer = server.ask("POST", PREDICT, INSTANCES, {"X-Request-Id": "mine"})
        (bounds,) = server.model.bounds
    began, ended = told
    assert isinstance(began, RequestBegan)
    assert isinstance(ended, RequestEnded)
    assert began.caller is ended.caller is bounds.caller
    assert (ended.caller.request_id, ended.caller.api) == ("mine", "predict")
    assert (ended.model, ended.version, ended.signature) == ("half", 3, "serving_default")
    assert (ended.caller.bytes_in, ended.bytes_out) == (len(INSTANCES), len(answer.body))
    assert ended.request.inputs["x"].dtype == 1
    assert ended.response.outputs["y"].dtype == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", PREDICT, "x", ("predict", "half", Status.INVALID_ARGUMENT)),
        (
            "POST",
            "/v1/models/half/versions/9:predict",
            INSTANCES,
            ("predict", "half", Status.NOT_FOUND),
        ),
        ("GET", "/v1/models/none", None, ("status", "none", Status.NOT_FOUND)),
        ("GET", "/v1/models/half", None, ("status", "half", None)),
        ("GET", "/v1/models/half/metadata", None, ("metadata", "half", None)),
        ("GET", "/v1/models", None, ("list", "", None)),
        ("POST", "/v1/other", "", ("", "", Status.INVALID_ARGUMENT)),
    ],
)
def test_whatever_is_asked_of_the_api_is_told(
    told_server: tuple[Server, list[Event]],
    method: str,
    path: str,
    body: str | None,
    expected: tuple[str, str, Status | None],
) -> None:
    """Refused or not, and once."""
    server, told = told_server
    told.clear()
    server.ask(method, path, body)
    (ended,) = (one for one in told if not isinstance(one, RequestBegan))
    assert isinstance(ended, RequestEnded)
    assert (ended.caller.api, ended.model, ended.status) == expected


@pytest.fixture(scope="module")
def told_server() -> Iterator[tuple[Server, list[Event]]]:
    """A server, and what it has told."""
    told: list[Event] = []
    with serve(RestOptions(), Hooks(observe=told.append)) as server:
        yield server, told


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/readyz"), ("GET", "/x"), ("OPTIONS", PREDICT)]
)
def test_what_is_no_request_of_the_api_is_not_told(
    told_server: tuple[Server, list[Event]], method: str, path: str
) -> None:
    """Probes would fill the log."""
    server, told = told_server
    told.clear()
    server.ask(method, path)
    assert told == []


def test_requests_without_a_place_are_refused() -> None:
    """Before their body is read; others need none."""
    told: list[Event] = []
    guard = Guard(observe=told.append, room=Room(1))
    hooks = Hooks(guard=guard, observe=told.append)
    with serve(RestOptions(timeout_seconds=0), hooks) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", PREDICT, '{"signature_name": "wait", "instances": [1]}')
        eventually(lambda: server.model.bounds)
        assert server.predict("no JSON").status == 429
        (refused,) = told[1:]
        assert isinstance(refused, RequestRefused)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert server.ask("GET", "/v1/models/half").status == 200
        connection.close()
        eventually(lambda: server.predict(INSTANCES).status == 200)


def test_pages_do_not_wait_for_requests() -> None:
    """They are answered while all threads are busy."""
    pages = {"/metrics": lambda: Page(b"up 1\n")}
    with serve(RestOptions(threads=1, timeout_seconds=0), Hooks(pages)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", PREDICT, '{"signature_name": "wait", "instances": [1]}')
        eventually(lambda: server.model.bounds)
        assert server.ask("GET", "/metrics").body == b"up 1\n"
        assert not server.model.cancelled
        connection.close()


def test_defects_are_not_shown(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The answer names the request; the log has the rest."""
    answer = server.predict('{"signature_name": "unequal", "instances": 7}')
    assert answer.status == 400
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(server.model), "predict", lambda self, request, bounds: 1 / 0)
        answer = server.predict(INSTANCES)
    assert answer.status == 500
    assert answer.error == f"Internal error in {answer.headers['X-Request-Id']}"
    assert "ZeroDivisionError" in caplog.text
