"""Messages become events."""

from __future__ import annotations

from accel_protocol.errors import Status
from client_runtime.serving.doors.grpc_events import began, ended
from client_runtime.serving.servable import Caller
from client_runtime.serving_wire import inference_pb2, model_management_pb2
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    predict_request,
    predict_response,
)

CALLER = Caller()


def test_an_answer_says_which_version_and_signature() -> None:
    """Whatever was asked for."""
    event = ended(CALLER, predict_request(), predict_response(), None, 0.0, 7)
    assert (event.model, event.version, event.signature) == ("half", 3, "serving_default")
    assert (event.began_at, event.bytes_out) == (0.0, 7)
    assert event.seconds > 0


def test_without_an_answer_it_is_what_was_asked_for() -> None:
    """A version by its number."""
    request = predict_request("lost")
    request.model_spec.version.value = 9
    event = ended(CALLER, request, None, Status.NOT_FOUND, 0.0, 0)
    assert (event.model, event.version, event.signature) == ("lost", 9, "")


def test_multi_inference_has_its_first_task_s_model() -> None:
    """All tasks are about one model."""
    response = inference_pb2.MultiInferenceResponse()
    response.results.add().model_spec.CopyFrom(predict_response().model_spec)
    request = inference_pb2.MultiInferenceRequest()
    request.tasks.add().model_spec.name = "half"
    event = ended(CALLER, request, response, None, 0.0, 0)
    assert (event.model, event.version) == ("half", 3)


def test_messages_may_be_about_no_model() -> None:
    """They are told like any other."""
    for request in (
        inference_pb2.MultiInferenceRequest(),
        model_management_pb2.ReloadConfigRequest(),
    ):
        assert began(CALLER, request).model == ""


def test_a_version_that_was_asked_for_stays_where_the_answer_has_none() -> None:
    """The states of a version do not name it as other answers do."""
    request = model_management_pb2.GetModelStatusRequest(model_spec={"name": "half"})
    request.model_spec.version.value = 2
    response = model_management_pb2.GetModelStatusResponse()
    assert ended(CALLER, request, response, None, 0.0, 0).version == 2
