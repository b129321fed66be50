"""What Predict takes and refuses, in TensorFlow Serving's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import Status
from client_runtime.serving.inference import methods
from client_runtime.serving.inference.options import AnswerForm, InferenceOptions
from client_runtime.serving.inference.service import InferenceService
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2 as pb
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT, STRING, StandIn, tensor

ONE = messages.signature({"x": FLOAT}, {"y": FLOAT, "z": FLOAT})
TWO = messages.signature({"b": STRING, "a": FLOAT}, {"y": FLOAT})
DEFAULTED = messages.signature({"x": FLOAT, "scale": FLOAT}, {"y": FLOAT})
DEFAULTED.defaults["scale"].CopyFrom(tensor(3.0))
NOTHING = messages.signature({}, {"y": FLOAT})
SIGNATURES = {"serving_default": ONE, "two": TWO, "defaulted": DEFAULTED, "nothing": NOTHING}


def model() -> StandIn:
    """Answers every output with what was fed for "x", or with 7."""
    return StandIn(
        SIGNATURES,
        lambda key, feeds: {
            alias: feeds.get("x", np.float32([7])) for alias in SIGNATURES[key].outputs
        },
    )


def ask(request: pb.PredictRequest, options: InferenceOptions | None = None) -> pb.PredictResponse:
    """The answer of that model."""
    stand_in = model()
    return InferenceService(stand_in, options or InferenceOptions()).predict(request, Bounds())


BAD = tensor([1.0, 2.0])
BAD.tensor_shape.dim[0].size = 1
REFUSED: list[tuple[Mapping[str, Any], dict[str, Any], Status, str]] = [
    ({"x": 1.0}, {"key": "no"}, Status.FAILED_PRECONDITION, 'signature key "no" not found.'),
    (
        {"a": 1.0, "b": 1.0},
        {},
        Status.INVALID_ARGUMENT,
        "input size does not match signature: 2!=1 len({a,b}) != len({x}). "
        "Sent extra: {a,b}. Missing but required: {x}.",
    ),
    ({}, {}, Status.INVALID_ARGUMENT, "input size does not match signature: 0!=1 len({})"),
    (
        {"y": 1.0},
        {},
        Status.INVALID_ARGUMENT,
        "Signature input alias: x(feed name: x:0) not found in request and no default value",
    ),
    (
        {"x": ["a"]},
        {},
        Status.INVALID_ARGUMENT,
        "Expects arg[0] to be float but string is provided",
    ),
    (
        {"a": 1.0, "b": 1.0},
        {"key": "two"},
        Status.INVALID_ARGUMENT,
        "Expects arg[1] to be string but float is provided",
    ),
    ({"x": BAD}, {}, Status.INVALID_ARGUMENT, "tensor parsing error: x"),
    (
        {"x": 1.0},
        {"output_filter": ("o",)},
        Status.INVALID_ARGUMENT,
        "output tensor alias not found in signature: o Outputs expected to be in the set {y,z}.",
    ),
    (
        {"x": 1.0},
        {"output_filter": ("y", "y")},
        Status.INVALID_ARGUMENT,
        "duplicate output tensor alias: y",
    ),
    (
        {"scale": 1.0},
        {"key": "defaulted"},
        Status.INVALID_ARGUMENT,
        "Inputs expected to be in the set {scale,x}.",
    ),
]


@pytest.mark.parametrize(("inputs", "rest", "status", "text"), REFUSED)
def test_a_request_that_does_not_fit_is_refused(
    inputs: Mapping[str, Any], rest: dict[str, Any], status: Status, text: str
) -> None:
    """Each fault has its status and its words."""
    with pytest.raises(ServingError) as caught:
        ask(messages.predict(inputs, **rest))
    assert caught.value.status is status
    assert text in caught.value.message


def test_a_request_names_a_model() -> None:
    """Without a model spec nothing is looked for."""
    with pytest.raises(ServingError, match="Missing ModelSpec"):
        ask(pb.PredictRequest())


def test_an_answer_says_what_was_used() -> None:
    """The version that ran and the signature that was meant; all outputs, by value."""
    answer = ask(messages.predict({"x": [1.0, 2.0]}))
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("m", 123)
    assert answer.model_spec.signature_name == "serving_default"
    assert sorted(answer.outputs) == ["y", "z"]
    assert list(answer.outputs["y"].float_val) == [1.0, 2.0]


def test_a_filter_leaves_out_other_outputs() -> None:
    """Only what is asked for is answered."""
    assert list(ask(messages.predict({"x": 1.0}, output_filter=("z",))).outputs) == ["z"]


def test_defaults_stand_for_what_is_not_sent() -> None:
    """A signature's own values are fed; what is sent comes before them."""
    stand_in = model()
    service = InferenceService(stand_in, InferenceOptions())
    service.predict(messages.predict({"x": 1.0}, key="defaulted"), Bounds())
    service.predict(messages.predict({"x": 1.0, "scale": 5.0}, key="defaulted"), Bounds())
    assert [float(feeds["scale"]) for _, feeds in stand_in.fed] == [3.0, 5.0]


def test_a_signature_without_inputs_runs() -> None:
    """Nothing is fed."""
    answer = ask(messages.predict({}, key="nothing"))
    assert list(answer.outputs["y"].float_val) == [7.0]


FORMS = [
    (AnswerForm.VALUES, True, False),
    (AnswerForm.CONTENT, False, True),
    (AnswerForm.AS_ASKED, False, False),
    (AnswerForm.AS_ASKED, True, True),
]


@pytest.mark.parametrize(("form", "asked_in_content", "in_content"), FORMS)
def test_elements_are_where_the_option_says(
    form: AnswerForm, asked_in_content: bool, in_content: bool
) -> None:
    """In the fields of values, in the content, or as the request has them."""
    request = messages.predict({"x": tensor([1.0], content=asked_in_content)})
    output = ask(request, InferenceOptions(answer_form=form)).outputs["y"]
    assert (bool(output.tensor_content), bool(output.float_val)) == (in_content, not in_content)


@pytest.mark.parametrize("name", [*methods.ALL, "other", ""])
def test_method_names_are_checked_where_that_is_wanted(name: str) -> None:
    """Off, any will do; on, one of the three."""
    signatures = {"serving_default": messages.signature({"x": FLOAT}, {"y": FLOAT}, name)}
    stand_in = StandIn(signatures, lambda _, feeds: {"y": feeds["x"]})

    def run(check: bool) -> None:
        options = InferenceOptions(check_method_names=check)
        service = InferenceService(stand_in, options)
        service.predict(messages.predict({"x": 1.0}), Bounds())

    run(False)
    if name in methods.ALL:
        run(True)
        return
    with pytest.raises(ServingError, match="Expected prediction signature method_name") as caught:
        run(True)
    assert caught.value.status is Status.INTERNAL
