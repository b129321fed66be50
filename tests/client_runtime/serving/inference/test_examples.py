"""Examples as string tensors; what classifications and regressions make of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.inference import examples, methods
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.inference.service import InferenceService
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire import inference_pb2 as pb
from client_runtime.serving_wire.examples_pb2 import Example
from client_runtime.serving_wire.signatures_pb2 import SignatureDef
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT, STRING, StandIn

CLASSES, SCORES, BOTH = {"classes": STRING}, {"scores": FLOAT}, {"classes": STRING, "scores": FLOAT}
INPUT = {"inputs": STRING}
LABELS = np.array([[b"a", b"b"], [b"c", b"d"]], dtype=object)
VALUES = np.float32([[1, 2], [3, 4]])


def run(
    asked: SignatureDef, fetches: Mapping[str, Array], *, regress: bool, check: bool = False
) -> Any:
    """The result for two examples, from a graph that answers with these fetches."""
    stand_in = StandIn({"serving_default": asked}, lambda key, feeds: dict(fetches))
    service = InferenceService(stand_in, InferenceOptions(check_method_names=check))
    spec, given = pb.ModelSpec(name="m"), messages.examples(1.0, 2.0)
    if regress:
        request = pb.RegressionRequest(model_spec=spec, input=given)
        return service.regress(request, Bounds()).result
    classify = pb.ClassificationRequest(model_spec=spec, input=given)
    return service.classify(classify, Bounds()).result


@pytest.mark.parametrize(
    ("outputs", "fetches", "expected"),
    [
        (BOTH, {"classes": LABELS, "scores": VALUES}, [[("a", 1), ("b", 2)], [("c", 3), ("d", 4)]]),
        (CLASSES, {"classes": LABELS}, [[("a", 0), ("b", 0)], [("c", 0), ("d", 0)]]),
        (SCORES, {"scores": VALUES}, [[("", 1), ("", 2)], [("", 3), ("", 4)]]),
        (SCORES, {"scores": np.zeros((2, 0), np.float32)}, [[], []]),
    ],
)
def test_a_classification_pairs_labels_and_scores(
    outputs: Mapping[str, int], fetches: Mapping[str, Array], expected: list[Any]
) -> None:
    """For each example, in the order of the graph's columns; what is missing stays empty."""
    result = run(messages.signature(INPUT, outputs), fetches, regress=False)
    got = [[(one.label, one.score) for one in row.classes] for row in result.classifications]
    assert got == expected


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_regression_is_a_value_for_each_example(shape: tuple[int, ...]) -> None:
    """With or without a dimension of its own."""
    fetches = {"outputs": np.float32([5, 6]).reshape(shape)}
    result = run(messages.signature(INPUT, {"outputs": FLOAT}), fetches, regress=True)
    assert [one.value for one in result.regressions] == [5, 6]


WRONG_FORMS: list[tuple[bool, Mapping[str, int], Mapping[str, int], str]] = [
    (False, {}, BOTH, "Expected one input Tensor."),
    (False, {"inputs": STRING, "x": STRING}, BOTH, "Expected one input Tensor."),
    (False, {"x": STRING}, BOTH, "No classification inputs found in SignatureDef: "),
    (False, INPUT, {}, "Expected one or two output Tensors, found 0"),
    (False, INPUT, {**BOTH, "more": FLOAT}, "Expected one or two output Tensors, found 3"),
    (False, INPUT, {"y": FLOAT}, 'contain at least one of "classes" or "scores"'),
    (True, {}, {"outputs": FLOAT}, "Expected one input Tensor."),
    (True, INPUT, {"outputs": FLOAT, "y": FLOAT}, "Expected one output Tensor."),
    (True, {"x": STRING}, {"outputs": FLOAT}, "No regression inputs found in SignatureDef: "),
    (True, INPUT, {"y": FLOAT}, "No regression outputs found in SignatureDef: "),
]


@pytest.mark.parametrize(("regress", "inputs", "outputs", "text"), WRONG_FORMS)
def test_a_signature_of_another_form_is_refused(
    regress: bool, inputs: Mapping[str, int], outputs: Mapping[str, int], text: str
) -> None:
    """Before anything runs."""
    with pytest.raises(ServingError) as caught:
        run(messages.signature(inputs, outputs), {}, regress=regress)
    assert (caught.value.status, text in caught.value.message) == (Status.INVALID_ARGUMENT, True)


WRONG_RESULTS: list[tuple[Mapping[str, Array], str]] = [
    (
        {"classes": LABELS.reshape(-1)},
        "Expected Tensor shape: [batch_size num_classes] but got [4]",
    ),
    ({"classes": VALUES}, "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
    ({"classes": LABELS[:1]}, "Expected classes output batch size of 2. Got: 1"),
    ({"scores": VALUES[0]}, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
    ({"scores": LABELS}, "Expected scores Tensor of DT_FLOAT. Got: DT_STRING"),
    ({"scores": VALUES[:1]}, "Expected scores output batch size of 2. Got: 1"),
    (
        {"classes": LABELS, "scores": VALUES[:, :1]},
        "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
    ),
    (
        {"outputs": np.zeros((2, 2), np.float32)},
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
    ),
    (
        {"outputs": np.zeros((), np.float32)},
        "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got []",
    ),
    (
        {"outputs": np.zeros(3, np.float32)},
        "Input batch size did not match output batch size: 2 vs. 3",
    ),
    ({"outputs": np.zeros(2)}, "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
]


@pytest.mark.parametrize(("fetches", "text"), WRONG_RESULTS)
def test_results_of_another_form_are_refused(fetches: Mapping[str, Array], text: str) -> None:
    """With what was expected and what came."""
    asked = messages.signature(INPUT, dict.fromkeys(fetches, FLOAT))
    with pytest.raises(ServingError) as caught:
        run(asked, fetches, regress="outputs" in fetches)
    assert (caught.value.status, caught.value.message) == (Status.INVALID_ARGUMENT, text)


@pytest.mark.parametrize("regress", [False, True])
def test_method_names_are_checked_where_that_is_wanted(regress: bool) -> None:
    """Each method has a name of its own."""
    mine, other = (methods.CLASSIFY, methods.REGRESS)[:: -1 if regress else 1]
    outputs = {"outputs": FLOAT} if regress else SCORES
    fetches = {"outputs": VALUES[0], "scores": VALUES}
    run(messages.signature(INPUT, outputs, mine), fetches, regress=regress, check=True)
    run(messages.signature(INPUT, outputs, other), fetches, regress=regress)
    with pytest.raises(ServingError, match=f"signature method_name to be {mine}. Was: {other}"):
        run(messages.signature(INPUT, outputs, other), fetches, regress=regress, check=True)


def test_an_input_that_is_no_string_is_refused() -> None:
    """Examples are strings to the graph."""
    with pytest.raises(ServingError, match="to be float but string is provided"):
        run(messages.signature({"inputs": FLOAT}, SCORES), {}, regress=False)


def test_an_unknown_signature_is_refused() -> None:
    """In the words of these two methods."""
    service = InferenceService(StandIn({}, lambda key, feeds: {}), InferenceOptions())
    spec = pb.ModelSpec(name="m", signature_name="s")
    text = "No signature was found with the name: s"
    with pytest.raises(ServingError, match=text):
        service.regress(pb.RegressionRequest(model_spec=spec), Bounds())
    with pytest.raises(ServingError, match=text):
        service.classify(pb.ClassificationRequest(model_spec=spec), Bounds())


def test_without_examples_nothing_runs() -> None:
    """However they are missing."""
    for given in (pb.Input(), pb.Input(example_list=pb.ExampleList())):
        with pytest.raises(ServingError, match=r"Input is empty\."):
            examples.serialized(given)


def test_what_all_examples_share_is_merged_into_each() -> None:
    """An example's own features come after the context's, and so win."""
    given = pb.Input()
    listed = given.example_list_with_context
    listed.context.features.feature["c"].int64_list.value.append(1)
    listed.context.features.feature["x"].int64_list.value.append(1)
    listed.examples.add().features.feature["x"].int64_list.value.append(2)
    listed.examples.add()
    first, second = (Example.FromString(one) for one in examples.serialized(given))
    assert {k: list(v.int64_list.value) for k, v in first.features.feature.items()} == {
        "c": [1],
        "x": [2],
    }
    assert list(second.features.feature["x"].int64_list.value) == [1]
