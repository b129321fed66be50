"""Requests become events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.events import Event, RequestBegan, RequestEnded
from client_runtime.serving.servable import Bounds, Caller
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.telemetry.observed import ObservedInference
from client_runtime.serving_wire import inference_pb2
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    predict_request,
    predict_response,
)


@dataclass
class _Answers:
    """An inference that gives one answer to all, and keeps the bounds it was asked with."""

    answer: Any
    bounds: list[Bounds] = field(default_factory=list)

    def metadata(self, request: Any) -> Any:
        return self.answer

    def _run(self, request: Any, bounds: Bounds) -> Any:
        self.bounds.append(bounds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    predict = classify = regress = multi_inference = session_run = _run


def _observed(answer: Any, door: str) -> tuple[ObservedInference, _Answers, list[Event]]:
    events: list[Event] = []
    inference = _Answers(answer)
    return ObservedInference(inference, events.append, door), inference, events


def _ended(events: list[Event]) -> RequestEnded:
    began, ended = events
    assert isinstance(began, RequestBegan)
    assert isinstance(ended, RequestEnded)
    assert began.caller is ended.caller
    return ended


def test_a_request_that_succeeds() -> None:
    """Version and signature are those of the answer; the caller's words go on to the run."""
    observed, inference, events = _observed(predict_response(), "GRPC")
    bounds = Bounds(give_up_at=5.0, caller=Caller(request_id="r7", peer="p", bytes_in=9))
    response = observed.predict(predict_request(), bounds)
    ended = _ended(events)
    assert ended.caller == Caller("r7", "GRPC", "Predict", "p", 9)
    assert (ended.model, ended.version, ended.signature) == ("half", 3, "serving_default")
    assert (ended.status, ended.response) == (None, response)
    assert ended.seconds >= 0
    assert inference.bounds == [replace(bounds, caller=ended.caller)]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ServingError(Status.NOT_FOUND, "no"), Status.NOT_FOUND),
        (RuntimeError("a defect"), Status.INTERNAL),
    ],
)
def test_a_request_that_fails(error: Exception, status: Status) -> None:
    """The error goes on; version and signature are those that were asked for."""
    observed, _, events = _observed(error, "REST")
    request = predict_request("lost")
    request.model_spec.version.value = 9
    with pytest.raises(type(error)):
        observed.predict(request, Bounds())
    ended = _ended(events)
    assert (ended.model, ended.version, ended.signature) == ("lost", 9, "")
    assert (ended.status, ended.response) == (status, None)


@pytest.mark.parametrize(
    ("call", "door", "api"),
    [
        (lambda one: one.predict(predict_request(), Bounds()), "REST", "predict"),
        (lambda one: one.classify(predict_request(), Bounds()), "REST", "classify"),
        (lambda one: one.classify(predict_request(), Bounds()), "GRPC", "Classify"),
        (lambda one: one.regress(predict_request(), Bounds()), "GRPC", "Regress"),
        (lambda one: one.session_run(predict_request(), Bounds()), "GRPC", "SessionRun"),
        (lambda one: one.metadata(predict_request()), "GRPC", "GetModelMetadata"),
    ],
)
def test_each_method_has_its_name(
    call: Callable[[ObservedInference], Any], door: str, api: str
) -> None:
    """As TensorFlow Serving's metrics call it, by door; and the request gets an id."""
    observed, _, events = _observed(predict_response(), door)
    call(observed)
    caller = _ended(events).caller
    assert (caller.door, caller.api, len(caller.request_id)) == (door, api, 16)


def test_multi_inference_has_its_first_task_s_model() -> None:
    """All tasks are about one model."""
    response = inference_pb2.MultiInferenceResponse()
    response.results.add().model_spec.CopyFrom(predict_response().model_spec)
    observed, _, events = _observed(response, "GRPC")
    request = inference_pb2.MultiInferenceRequest()
    request.tasks.add().model_spec.name = "half"
    observed.multi_inference(request, Bounds())
    assert (_ended(events).model, _ended(events).version) == ("half", 3)


def test_multi_inference_without_tasks_names_no_model() -> None:
    """It is told like any other."""
    observed, _, events = _observed(inference_pb2.MultiInferenceResponse(), "GRPC")
    observed.multi_inference(inference_pb2.MultiInferenceRequest(), Bounds())
    assert (_ended(events).model, _ended(events).version) == ("", None)
