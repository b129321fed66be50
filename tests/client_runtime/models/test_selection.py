"""What a predictor feeds and fetches: the original's rules, and the original's words."""

from __future__ import annotations

from typing import Any

import pytest

from accel_protocol import manifest
from accel_protocol.graph.v1 import saved_model_pb2 as pb
from client_runtime.models.saved_model import MetaGraph, Signature, TensorInfo
from client_runtime.models.selection import Choice, Selection, select

BOTH = "input_names and output_names must both be specified or both be unspecified."
AT_MOST_ONE = (
    "You must specify at most one of signature_def_key OR signature_def OR"
    "(input_names AND output_names)."
)
X, Y, Z = (TensorInfo(f"{name}:0", 1, (-1, 2)) for name in "xyz")
SIGNATURE_DEF = pb.Signature(
    inputs={"p": pb.TensorInfo(name="x:0", dtype=1)},  # type: ignore[arg-type]
    outputs={"q": pb.TensorInfo(name="z:0", dtype=9)},  # type: ignore[arg-type]
)


def node(name: str, op: str, dtype: int) -> pb.Node:
    """A node of a graph."""
    return pb.Node(name=name, op=op, attr={"dtype": pb.Attribute(type=dtype)})  # type: ignore[arg-type]


GRAPH_DEF = pb.GraphDef(
    node=[node("x", "Placeholder", 1), node("inner", "Add", 1), node("y", "Identity", 1)]
)
GRAPHS = [
    MetaGraph(
        frozenset({"serve"}),
        {
            "serving_default": Signature({"x": X}, {"y": Y}),
            "predict": Signature({"x": X}, {"z": Z}),
            "default_input_alternative:other": Signature({"x": X}, {"o": Y}),
        },
        GRAPH_DEF.SerializeToString(),
    ),
    MetaGraph(frozenset({"serve", "gpu"}), {"serving_default": Signature({"g": X}, {"h": Y})}, b""),
]


def chosen(**arguments: Any) -> Selection:
    """What these arguments of a predictor select."""
    return select(GRAPHS, Choice(**arguments))


def message_of(error: type[Exception], **arguments: Any) -> str:
    """The words of an error, without what Python or our own errors put around them."""
    with pytest.raises(error) as caught:
        chosen(**arguments)
    return str(caught.value.args[0])


def test_the_default_is_serving_default() -> None:
    """Without arguments: tag set "serve", signature "serving_default"."""
    assert chosen() == Selection(("serve",), {"x": X}, {"y": Y})


def test_a_key_chooses_a_signature() -> None:
    """By its key."""
    assert chosen(signature_def_key="predict").fetches == {"z": Z}


def test_the_second_spelling_of_a_key_is_tried() -> None:
    """Estimators prefix the keys of their alternatives."""
    assert chosen(signature_def_key="other").fetches == {"o": Y}


def test_a_signature_def_is_taken_as_it_is() -> None:
    """Any message with TensorFlow's bytes will do, also one that the model does not have."""
    selection = chosen(signature_def=SIGNATURE_DEF)
    assert {alias: info.name for alias, info in selection.feeds.items()} == {"p": "x:0"}
    assert {alias: info.dtype for alias, info in selection.fetches.items()} == {"q": 9}


def test_names_choose_any_tensors() -> None:
    """Placeholders tell their dtype, of other tensors only the accelerator knows it."""
    selection = chosen(
        input_names={"a": "x:0", "b": "inner:0"}, output_names={"c": "y:0", "d": "inner:0"}
    )
    assert selection.feeds == {
        "a": TensorInfo("x:0", 1),
        "b": TensorInfo("inner:0"),
    }
    assert selection.fetches == {"c": TensorInfo("y:0"), "d": TensorInfo("inner:0")}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (None, ("serve",)),
        ("", ("serve",)),
        ("serve", ("serve",)),
        ("serve,gpu", ("gpu", "serve")),
        (" gpu , serve ", ("gpu", "serve")),
        ("serve,serve,gpu", ("gpu", "serve")),
        (["serve", "gpu"], ("gpu", "serve")),
        (("gpu", "serve"), ("gpu", "serve")),
    ],
)
def test_tags_are_split_at_commas_and_compared_as_a_set(
    tags: Any, expected: tuple[str, ...]
) -> None:
    """Blanks, order and repetition do not matter; a list is taken as well."""
    assert chosen(tags=tags).tags == expected


@pytest.mark.parametrize("tags", ["gpu", "serve,tpu", "Serve", "serve;gpu"])
def test_an_unknown_tag_set_is_told_in_the_original_words(tags: str) -> None:
    """With the tags as they were given."""
    assert message_of(ValueError, tags=tags) == f"Could not find MetaGraphDef with tags {tags}"


def test_an_unknown_key_is_told_in_the_original_words() -> None:
    """With the key, and with the keys that there are."""
    text = message_of(ValueError, signature_def_key="classify")
    assert text.startswith('Got signature_def_key "classify". Available signatures are [')
    assert "]. Original error:\n" in text
    for key in GRAPHS[0].signatures:
        assert f"'{key}'" in text


@pytest.mark.parametrize(
    "arguments",
    [{"input_names": {"x": "x:0"}}, {"output_names": {"y": "y:0"}}],
    ids=["inputs only", "outputs only"],
)
def test_names_of_one_side_only_are_refused(arguments: dict[str, Any]) -> None:
    """In the original's words."""
    assert message_of(ValueError, **arguments) == BOTH


NAMES = {"input_names": {"x": "x:0"}, "output_names": {"y": "y:0"}}


@pytest.mark.parametrize(
    "arguments",
    [
        {"signature_def_key": "predict", "signature_def": SIGNATURE_DEF},
        {"signature_def_key": "predict", **NAMES},
        {"signature_def": SIGNATURE_DEF, **NAMES},
        {"signature_def_key": "predict", "signature_def": SIGNATURE_DEF, **NAMES},
        {"signature_def_key": "", "signature_def": SIGNATURE_DEF},
    ],
)
def test_two_ways_to_choose_are_refused(arguments: dict[str, Any]) -> None:
    """In the original's words, which lack a blank before the bracket."""
    assert message_of(ValueError, **arguments) == AT_MOST_ONE


@pytest.mark.parametrize("side", ["input_names", "output_names"])
def test_a_name_that_is_no_tensor_is_told_in_tensorflow_s_words(side: str) -> None:
    """An operation's name lacks the number of its output."""
    for name in ("x", "x:", "x:y", ":", "x:-1"):
        text = message_of(ValueError, **{**NAMES, side: {"a": name}})
        assert text == (
            f"The name '{name}' looks like an (invalid) Operation name, not a Tensor. "
            'Tensor names must be of the form "<op_name>:<output_index>".'
        )


@pytest.mark.parametrize("side", ["input_names", "output_names"])
def test_a_tensor_that_does_not_exist_is_told_in_tensorflow_s_words(side: str) -> None:
    """A KeyError, as a Session raises it."""
    assert message_of(KeyError, **{**NAMES, side: {"a": "nowhere:0"}}) == (
        "The name 'nowhere:0' refers to a Tensor which does not exist. "
        "The operation, 'nowhere', does not exist in the graph."
    )


def test_a_selection_goes_into_the_manifest_by_name() -> None:
    """Aliases and tensor names; dtypes and shapes are the graph's own business."""
    assert chosen().for_manifest() == manifest.Selection(
        ("serve",), feeds={"x": "x:0"}, fetches={"y": "y:0"}
    )


def test_a_model_without_feeds_can_be_chosen_by_names() -> None:
    """The original looks at None only: an empty mapping of inputs is specified."""
    assert chosen(input_names={}, output_names={"y": "y:0"}).feeds == {}
