"""MultiInference, metadata and SessionRun, around a graph that is a function."""

from __future__ import annotations

import numpy as np
import pytest

from accel_protocol.errors import Status
from client_runtime.serving.inference import methods
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.inference.service import InferenceService
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2 as pb
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT, STRING, StandIn, tensor

SIGNATURES = {
    "c": messages.signature({"inputs": STRING}, {"scores": FLOAT}),
    "r": messages.signature({"inputs": STRING}, {"outputs": FLOAT}),
    "serving_default": messages.signature({"x": FLOAT}, {"y": FLOAT, "z": FLOAT}),
}


def service() -> InferenceService:
    """Of a model that classifies, regresses and predicts."""
    answers = {
        "c": {"scores": np.float32([[1], [2]])},
        "r": {"outputs": np.float32([3, 4])},
        "serving_default": {"y": np.float32([5]), "z": np.float32([6])},
    }
    stand_in = StandIn(SIGNATURES, lambda key, feeds: dict(answers[key]))
    return InferenceService(stand_in, InferenceOptions())


def request(*tasks: tuple[str, str, str]) -> pb.MultiInferenceRequest:
    """Of tasks by model, signature and method."""
    made = pb.MultiInferenceRequest(input=messages.examples(1.0, 2.0))
    for model, key, method in tasks:
        spec = pb.ModelSpec(name=model, signature_name=key)
        made.tasks.add(model_spec=spec, method_name=method)
    return made


def test_tasks_are_answered_in_their_order() -> None:
    """Each with its result and the spec that was used."""
    asked = request(("m", "r", methods.REGRESS), ("m", "c", methods.CLASSIFY))
    first, second = service().multi_inference(asked, Bounds()).results
    assert [one.value for one in first.regression_result.regressions] == [3, 4]
    scores = [one.classes[0].score for one in second.classification_result.classifications]
    assert scores == [1, 2]
    assert [one.model_spec.signature_name for one in (first, second)] == ["r", "c"]
    assert first.model_spec.version.value == 123


REFUSED = [
    ((("m", "c", methods.CLASSIFY), ("", "r", methods.REGRESS)), "with an empty model name."),
    ((("m", "c", methods.CLASSIFY), ("n", "r", methods.REGRESS)), "access the same model name."),
    ((("m", "c", methods.CLASSIFY),) * 2, "Duplicate evaluation of signature: c"),
    ((("m", "s", methods.CLASSIFY),), "Requested signature not found in model graph: s"),
    ((("m", "r", methods.CLASSIFY),), "Expected classification signature outputs to contain"),
    ((("m", "c", methods.PREDICT),), f"Unsupported signature method_name: {methods.PREDICT}"),
]


@pytest.mark.parametrize(("tasks", "text"), REFUSED)
def test_tasks_that_cannot_be_done_are_refused(
    tasks: tuple[tuple[str, str, str], ...], text: str
) -> None:
    """Before any runs."""
    with pytest.raises(ServingError) as caught:
        service().multi_inference(request(*tasks), Bounds())
    unimplemented = "Unsupported" in text
    status = Status.UNIMPLEMENTED if unimplemented else Status.INVALID_ARGUMENT
    assert (caught.value.status, text in caught.value.message) == (status, True)


def test_metadata_holds_the_signatures() -> None:
    """All of them; the spec names the version and no signature."""
    asked = pb.GetModelMetadataRequest(
        model_spec=pb.ModelSpec(name="m", signature_name="c"), metadata_field=["signature_def"]
    )
    answer = service().metadata(asked)
    known = pb.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(known)
    assert dict(known.signature_def) == SIGNATURES
    assert (answer.model_spec.version.value, answer.model_spec.signature_name) == (123, "")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ([], "must specify at least one metadata_field"),
        (["f"], "Metadata field f is not supported"),
    ],
)
def test_other_metadata_is_refused(fields: list[str], text: str) -> None:
    """There is none."""
    asked = pb.GetModelMetadataRequest(model_spec=pb.ModelSpec(name="m"), metadata_field=fields)
    with pytest.raises(ServingError, match=text):
        service().metadata(asked)


def session_run(
    feed: str, *fetch: str, alias: bool = False, target: str = ""
) -> pb.SessionRunRequest:
    """A SessionRun that feeds one tensor."""
    made = pb.SessionRunRequest(fetch=fetch, tensor_name_is_alias=alias)
    made.model_spec.name = "m"
    made.feed.add(name=feed, tensor=tensor([1.0]))
    made.target.extend([target] if target else [])
    return made


@pytest.mark.parametrize(
    ("feed", "fetch", "alias"),
    [("x:0", ("z:0", "y:0"), False), ("x", ("z", "y"), False), ("x", ("z", "y"), True)],
)
def test_a_signatures_tensors_are_run_through_it(
    feed: str, fetch: tuple[str, ...], alias: bool
) -> None:
    """By their names, whole or without the output's number, or by alias; in the order asked."""
    answer = service().session_run(session_run(feed, *fetch, alias=alias), Bounds())
    got = [(one.name, list(one.tensor.float_val)) for one in answer.tensor]
    assert got == [(fetch[0], [6]), (fetch[1], [5])]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (session_run("x:0"), Status.INVALID_ARGUMENT),
        (session_run("q", "y", alias=True), Status.INVALID_ARGUMENT),
        (session_run("x:0", "y:0", target="op"), Status.UNIMPLEMENTED),
        (session_run("h:0", "y:0"), Status.UNIMPLEMENTED),  # by a servable that only has signatures
    ],
)
def test_what_cannot_be_run_is_refused(asked: pb.SessionRunRequest, status: Status) -> None:
    """Nothing to fetch, no such alias, targets, other tensors."""
    with pytest.raises(ServingError) as caught:
        service().session_run(asked, Bounds())
    assert caught.value.status is status
