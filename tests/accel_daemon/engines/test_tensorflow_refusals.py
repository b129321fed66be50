"""What the engine does not load, and what its errors tell."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines.engine import open_engine
from accel_protocol.errors import (
    FeedError,
    GraphError,
    ModelError,
)
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection
from tests.accel_daemon.engines.conftest import (
    ENGINE,
    Signatures,
    assert_safe,
    load,
    named,
    save_graph,
)

tf1 = tf.compat.v1


@pytest.mark.parametrize(
    "selection",
    [
        Selection(signature="no such key"),
        Selection(("serve", "tpu"), signature="serving_default"),
        Selection((), signature="serving_default"),
        named({}, {"y": "no_such_op:0"}),
        named({}, {"y": "total:1"}),
        named({}, {"y": "total"}),
        named({}, {"y": ""}),
        named({}, {"y": "^total"}),
        named({"x": "no_such_op:0"}, {"y": "total:0"}),
        named({"x": "x:0"}, {}),
    ],
    ids=range(10),
)
def test_selections_that_do_not_exist_are_refused(
    numbers_folder: Path, selection: Selection
) -> None:
    """Unknown signature, tag set, op, output; nothing to fetch."""
    with pytest.raises(ModelError) as caught:
        load(numbers_folder, selection)
    assert_safe(caught.value)


def test_an_unknown_signature_names_the_known_ones(tagged_folder: Path) -> None:
    """The message helps to choose another."""
    with pytest.raises(ModelError, match="serving_default"):
        load(tagged_folder, Selection(signature="predict"))


@pytest.mark.parametrize("content", [b"", b"\x00", b"no protobuf at all", b"\x08\x01"])
def test_a_broken_model_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever the bytes, it is the model's fault, said without a path."""
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load(tmp_path)
    assert_safe(caught.value)


def copied(folder: Path, target: Path, leave_out: str = "", damage: str = "") -> Path:
    """A copy of a model without, or with other bytes in, the files of this name."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name != leave_out:
            place = target / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            place.write_bytes(b"\xff" * len(data) if path.name == damage else data)
    return target


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "vocabulary.txt"])
def test_a_missing_file_is_refused(words_folder: Path, tmp_path: Path, name: str) -> None:
    """A bundle that lacks a file cannot be loaded, and no path tells where it should be."""
    with pytest.raises(ModelError) as caught:
        load(copied(words_folder, tmp_path / "copy", leave_out=name))
    assert_safe(caught.value)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index"])
def test_a_damaged_file_is_refused(words_folder: Path, tmp_path: Path, name: str) -> None:
    """A bundle with other bytes in a file cannot be loaded, and no path tells which host it is."""
    with pytest.raises(ModelError) as caught:
        load(copied(words_folder, tmp_path / "copy", damage=name))
    assert_safe(caught.value)


def reading_a_file() -> Signatures:
    """A graph that reads the file it is told."""
    name = tf1.placeholder(tf.string, [], name="name")
    return {"serving_default": ({"name": name}, {"y": tf.io.read_file(name)})}


@pytest.mark.parametrize(
    "path",
    [
        "/private/place/secret",
        "/private/place/",
        "/private",
        "/private place/secret",
        "file:///private/place",
    ],
)
def test_a_failing_op_tells_no_path(tmp_path: Path, path: str) -> None:
    """Paths are taken out of TensorFlow's messages, in whatever form they stand."""
    engine = open_engine("tensorflow", allowed_ops={"ReadFile": "this test"})
    folder = save_graph(tmp_path / "model", reading_a_file)
    graph = engine.load(folder, Manifest(SAVED_MODEL, (), Selection(signature="serving_default")))
    with pytest.raises(GraphError) as caught:
        graph.run({"name": np.array(path.encode(), object)}, None)
    assert not re.search("private|place|secret", str(caught.value))


def with_a_variant() -> Signatures:
    """A graph whose fetch is of a dtype that cannot travel."""
    x = tf1.placeholder(tf.float32, [], name="x")
    y = tf.raw_ops.EmptyTensorList(element_shape=[1], max_num_elements=1, element_dtype=tf.float32)
    return {"serving_default": ({"x": x}, {"y": y})}


def test_fetches_that_cannot_travel_are_refused_when_loading(tmp_path: Path) -> None:
    """A signature with a variant in it can never be answered, so it is no model to load."""
    folder = save_graph(tmp_path / "model", with_a_variant)
    with pytest.raises((ModelError, FeedError)):
        load(folder)


def test_another_format_is_refused(numbers_folder: Path) -> None:
    """The engine says that it is not for this kind of model."""
    manifest = Manifest(SAVED_MODEL, (), Selection(signature="serving_default"))
    with pytest.raises(ModelError):
        ENGINE.load(numbers_folder, replace(manifest, format="onnx"))
