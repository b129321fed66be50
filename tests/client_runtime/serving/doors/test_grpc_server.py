"""The gRPC door: what comes in reaches the room behind, and how calls end."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from accel_protocol.errors import Status
from client_runtime.serving.access.guard import Guard
from client_runtime.serving.doors.grpc_server import GrpcServer
from client_runtime.serving.events import RequestBegan, RequestEnded, RequestRefused
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from tests.client_runtime.serving.doors.conftest import Door, Opens
from tests.conftest import eventually, patience

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def refusal(door: Door, model: str, **options: Any) -> grpc.RpcError:
    """How a Predict ends that does not end well."""
    with pytest.raises(grpc.RpcError) as raised:
        door.predict(model, **options)
    return raised.value


def is_refused(door: Door) -> bool:
    """Whether no more calls are taken."""
    try:
        door.predict("m", timeout=patience(5))
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


def check(door: Door, service: str) -> int:
    """What the health service says."""
    with grpc.insecure_channel(door.socket) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        return int(health_pb2_grpc.HealthStub(channel).Check(request, patience(30)).status)


def test_a_call_is_answered(door: Opens) -> None:
    """With its deadline, its caller and its size as bounds."""
    one = door()

    assert one.predict("m", 2.0, metadata=[("x-request-id", "mine")]) == 3.0

    (bounds,) = one.models.asked
    assert bounds.give_up_at is not None
    assert 0 < bounds.give_up_at - time.monotonic() <= patience(30)
    assert (bounds.caller.request_id, bounds.caller.door) == ("mine", "GRPC")
    assert (bounds.caller.api, bounds.caller.bytes_in) == ("Predict", 18)


def test_a_call_without_a_deadline_has_none(door: Opens) -> None:
    """Of it gRPC says that some centuries are left."""
    one = door()
    one.predict("m", timeout=None)

    assert one.models.asked[0].give_up_at is None


ANSWERS = {
    "Classify": 'model_spec { name: "classified" }',
    "Regress": 'model_spec { name: "regressed" }',
    "MultiInference": 'results { model_spec { name: "both" } }',
    "GetModelMetadata": 'model_spec { name: "described" }',
    "SessionRun": 'model_spec { name: "run" }',
}


@pytest.mark.parametrize("name", ANSWERS)
def test_each_method_reaches_its_own(door: Opens, name: str) -> None:
    """And its answer is of its own kind."""
    service = "SessionService" if name == "SessionRun" else "PredictionService"

    assert str(door().call(service, name)).split() == ANSWERS[name].split()


def test_the_status_of_versions_is_told(door: Opens) -> None:
    """Of all, of one, and in the original's words of none."""
    one = door()
    for version in ({}, {"version": {"value": 1}}):
        request = model_management_pb2.GetModelStatusRequest(model_spec={"name": "m", **version})
        (status,) = one.call("ModelService", "GetModelStatus", request).model_version_status
        assert (status.version, status.state) == (1, 30)

    with pytest.raises(grpc.RpcError) as raised:
        one.call("ModelService", "GetModelStatus")
    assert raised.value.details() == "Missing ModelSpec"


def test_a_reload_tells_what_was_counted(door: Opens) -> None:
    """What is no list is refused before it reaches the catalog."""
    one = door()
    request = model_management_pb2.ReloadConfigRequest(metric_names=["some"])
    with pytest.raises(grpc.RpcError) as raised:
        one.call("ModelService", "HandleReloadConfigRequest", request)
    assert "ServerModelConfig type not supported" in raised.value.details()
    assert one.models.reloaded == []

    request.config.model_config_list.config.add(name="n")
    answer = one.call("ModelService", "HandleReloadConfigRequest", request)
    assert one.models.reloaded == [request.config]
    (metric,) = answer.metric
    assert (metric.name, metric.int64_value_increase) == ("some", 1)


def test_an_error_has_its_status_and_no_more_text_than_fits(door: Opens) -> None:
    """1024 bytes, cut between characters."""
    error = refusal(door(), "refuses")

    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == "é" * 512 + "...TRUNCATED"


def test_what_nobody_expected_is_not_told(door: Opens, caplog: pytest.LogCaptureFixture) -> None:
    """But its request's id is, which the log has as well."""
    error = refusal(door(), "breaks", metadata=[("x-request-id", "r-1")])

    assert error.code() is grpc.StatusCode.INTERNAL
    assert "r-1" in error.details()
    assert "secret" not in error.details()
    assert "r-1" in caplog.text
    assert "a secret of the server" in caplog.text


def test_a_request_is_told_when_it_begins_and_ends(door: Opens) -> None:
    """Once each, by the same caller, with the bytes of both messages."""
    one = door()
    one.predict("m", metadata=[("x-request-id", "mine")])

    began, ended = one.told
    assert isinstance(began, RequestBegan)
    assert isinstance(ended, RequestEnded)
    assert began.caller is ended.caller is one.models.asked[0].caller
    assert (ended.caller.api, ended.model, ended.status) == ("Predict", "m", None)
    assert (ended.caller.bytes_in, ended.bytes_out) == (18, ended.response.ByteSize())


@pytest.mark.parametrize(
    ("model", "status"), [("refuses", "FAILED_PRECONDITION"), ("breaks", "INTERNAL")]
)
def test_a_request_that_fails_is_told(door: Opens, model: str, status: str) -> None:
    """With the status that its client gets."""
    one = door()
    refusal(one, model)

    ended = one.told[-1]
    assert isinstance(ended, RequestEnded)
    assert ended.status is not None
    assert (ended.model, ended.status.name, ended.response) == (model, status, None)


def test_questions_about_models_are_told_too(door: Opens) -> None:
    """By their own names."""
    one = door()
    request = model_management_pb2.GetModelStatusRequest(model_spec={"name": "m"})
    one.call("ModelService", "GetModelStatus", request)

    ended = one.told[-1]
    assert isinstance(ended, RequestEnded)
    assert (ended.caller.api, ended.model) == ("GetModelStatus", "m")


def test_what_is_no_message_is_refused(door: Opens) -> None:
    """As the client's mistake."""
    one = door()
    with grpc.insecure_channel(one.socket) as channel:
        stub = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        with pytest.raises(grpc.RpcError) as raised:
            stub(b"\xff", timeout=patience(30))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    (refused,) = one.told
    assert isinstance(refused, RequestRefused)
    assert (refused.caller.api, refused.status) == ("Predict", Status.INVALID_ARGUMENT)


def test_requests_without_a_place_are_refused(door: Opens) -> None:
    """Those that run models; the others need none, and a place that was left is free again."""
    one = door(places=1)
    asking = threading.Thread(target=one.predict, args=("blocks",))
    asking.start()
    assert one.models.entered.wait(patience(30))

    assert refusal(one, "m").code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    refused = one.told[-1]
    assert isinstance(refused, RequestRefused)
    assert refused.status is Status.RESOURCE_EXHAUSTED
    request = model_management_pb2.GetModelStatusRequest(model_spec={"name": "m"})
    assert one.call("ModelService", "GetModelStatus", request).model_version_status

    one.models.let_go.set()
    asking.join(patience(30))
    assert one.predict("m") == 2.0


def test_a_client_that_leaves_cancels_its_request(door: Opens) -> None:
    """So that what it asked for is not computed for nobody."""
    one = door()
    with grpc.insecure_channel(one.socket) as channel:
        stub = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        request = inference_pb2.PredictRequest(model_spec={"name": "blocks"})
        call = stub.future(request.SerializeToString())
        assert one.models.entered.wait(patience(30))
        assert not one.models.asked[0].cancellation.cancelled
        call.cancel()

    eventually(lambda: one.models.asked[0].cancellation.cancelled)


def test_large_messages_come_in_and_go_out(door: Opens) -> None:
    """Beyond gRPC's usual 4 MiB."""
    one = door()
    request = inference_pb2.PredictRequest(model_spec={"name": "m" * 5_000_000})
    with grpc.insecure_channel(
        one.socket, options=[("grpc.max_receive_message_length", -1)]
    ) as channel:
        stub = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            None,
            inference_pb2.PredictResponse.FromString,
        )
        answer = stub(request.SerializeToString(), timeout=patience(60))
    assert len(answer.model_spec.name) == 5_000_000


def test_health_follows_the_catalog(door: Opens) -> None:
    """The server is ready with its last model; each model by itself; what is unknown is none."""
    one = door()
    assert [check(one, name) for name in ("", "ModelService", "m", "late")] == [
        NOT_SERVING,
        NOT_SERVING,
        SERVING,
        NOT_SERVING,
    ]

    one.models.available.add("late")
    assert [check(one, name) for name in ("", "PredictionService", "late")] == [SERVING] * 3
    with pytest.raises(grpc.RpcError) as raised:
        check(one, "other")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_watchers_of_health_hear_of_changes_and_do_not_delay_the_end(door: Opens) -> None:
    """They hear that the server ends, and are let go."""
    one = door()
    with grpc.insecure_channel(one.socket) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == NOT_SERVING
        one.models.available.add("late")
        assert next(watch).status == SERVING
        one.server.drain(patience(60))
        assert [answer.status for answer in watch] == [NOT_SERVING]


def test_reflection_does_not_delay_the_end(door: Opens) -> None:
    """A client may hold its stream open for as long as it likes."""
    one = door()
    with grpc.insecure_channel(one.socket) as channel:
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        never = threading.Event()

        def requests() -> Any:
            yield next(asked)
            never.wait(patience(60))

        stream = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(requests())
        assert next(stream).list_services_response.service
        draining = threading.Thread(target=one.server.drain, args=(patience(60),))
        draining.start()
        draining.join(patience(30))
        assert not draining.is_alive()
        never.set()


def test_a_drain_waits_for_requests_and_takes_no_more(door: Opens) -> None:
    """What was accepted is answered."""
    one = door()
    answers: list[float] = []
    asking = threading.Thread(target=lambda: answers.append(one.predict("blocks")))
    asking.start()
    assert one.models.entered.wait(patience(30))
    draining = threading.Thread(target=one.server.drain, args=(patience(60),))
    draining.start()
    eventually(lambda: is_refused(one))
    assert draining.is_alive()

    one.models.let_go.set()
    draining.join(patience(30))
    asking.join(patience(30))
    assert (answers, draining.is_alive()) == ([2.0], False)


def test_a_drain_ends_in_time(door: Opens) -> None:
    """What takes longer is cancelled."""
    one = door()
    errors: list[grpc.RpcError] = []
    asking = threading.Thread(target=lambda: errors.append(refusal(one, "blocks")))
    asking.start()
    assert one.models.entered.wait(patience(30))

    one.server.drain(0)

    asking.join(patience(30))
    assert errors[0].code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert one.models.asked[0].cancellation.cancelled


def test_reflection_describes_all_services(door: Opens) -> None:
    """So that grpcurl needs no .proto files."""
    one = door()
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="tensorflow.serving.PredictionService"
        ),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
    ]
    with grpc.insecure_channel(one.socket) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        names, *files = stub.ServerReflectionInfo(iter(requests), timeout=patience(30))

    assert {"tensorflow.serving.ModelService", "grpc.health.v1.Health"} <= {
        service.name for service in names.list_services_response.service
    }
    assert all(one.file_descriptor_response.file_descriptor_proto for one in files)


@pytest.fixture
def keys(tmp_path: Path) -> str:
    """A file with the key "k" for the model m and "all" for all."""
    lines = [
        f"{name} sha256:{hashlib.sha256(key.encode()).hexdigest()} {models}"
        for name, key, models in (("one", "k", "m"), ("two", "all", "*"))
    ]
    path = tmp_path / "keys"
    path.write_text("\n".join(lines))
    return str(path)


def test_keys_let_in(door: Opens, keys: str) -> None:
    """In either header, for their models; health needs none."""
    one = door(keys)

    assert one.predict("m", metadata=[("authorization", "Bearer k")]) == 2.0
    assert one.predict("n", metadata=[("x-api-key", "all")]) == 2.0
    assert check(one, "m") == SERVING


@pytest.mark.parametrize(
    ("key", "model", "code"),
    [
        (None, "m", grpc.StatusCode.UNAUTHENTICATED),
        ("wrong", "m", grpc.StatusCode.UNAUTHENTICATED),
        ("k", "n", grpc.StatusCode.PERMISSION_DENIED),
    ],
)
def test_others_are_refused(
    door: Opens, keys: str, key: str | None, model: str, code: grpc.StatusCode
) -> None:
    """Before anything is run, and told to the observer once."""
    one = door(keys)
    metadata = [] if key is None else [("x-api-key", key)]

    assert refusal(one, model, metadata=metadata).code() is code
    assert one.models.asked == []
    (refused,) = one.told
    assert isinstance(refused, RequestRefused)
    assert (refused.caller.door, refused.caller.api) == ("GRPC", "Predict")


def test_reflection_needs_a_key(door: Opens, keys: str) -> None:
    """As every service but health."""
    with grpc.insecure_channel(door(keys).socket) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as raised:
            next(stub.ServerReflectionInfo(iter([]), timeout=patience(30)))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_socket_file_is_replaced_and_a_taken_port_refused(tmp_path: Path) -> None:
    """A server that was killed leaves its socket file behind."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    first, second = (GrpcServer([], [], Guard(), 1, [], None) for _ in range(2))
    first.listen(f"unix:{path}", None)
    port = first.listen("127.0.0.1:0", None)

    with pytest.raises(ServingError, match="taken"):
        second.listen(f"127.0.0.1:{port}", None)
    assert path.is_socket()
