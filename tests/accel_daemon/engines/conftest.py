"""Models that the tests of the engines share, built with the local TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines.engine import Graph, open_engine
from accel_protocol import dtypes
from accel_protocol.manifest import SAVED_MODEL, Manifest, Selection

tf1 = tf.compat.v1
ENGINE = open_engine("tensorflow")
NUMERIC = [number for number in dtypes.supported() if number != dtypes.STRING]
ABSOLUTE_PATH = re.compile(r"(?<![\w<])/(?:tmp|home|usr|var|work|[\w.-]+/[\w.-]+/)")

Signatures = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def save_graph(
    folder: Path, build: Callable[[], Signatures], tags: tuple[str, ...] = ("serve",)
) -> Path:
    """A SavedModel as TensorFlow 1 writes it, of the signatures that `build` makes."""
    with tf1.Session(graph=tf.Graph()) as session:
        signatures = {
            key: tf1.saved_model.predict_signature_def(dict(inputs), dict(outputs))
            for key, (inputs, outputs) in build().items()
        }
        session.run(tf1.global_variables_initializer())
        builder = tf1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, list(tags), signatures)
        builder.save()
    return folder


def load(folder: Path, selection: Selection | None = None) -> Graph:
    """Load a SavedModel; the files of a manifest do not matter to an engine."""
    chosen = selection or Selection(signature="serving_default")
    return ENGINE.load(folder, Manifest(SAVED_MODEL, (), chosen))


def named(
    feeds: Mapping[str, str], fetches: Mapping[str, str], tags: tuple[str, ...] = ("serve",)
) -> Selection:
    """A selection of tensors by name."""
    return Selection(tags, feeds=feeds, fetches=fetches)


def local_run(
    folder: Path, tags: list[str], fetches: list[str], feeds: Mapping[str, Any]
) -> list[Any]:
    """What a Session in this process answers."""
    with tf1.Session(graph=tf.Graph()) as session:
        tf1.saved_model.load(session, tags, str(folder))
        result: list[Any] = session.run(fetches, feeds)
        return result


def assert_safe(error: Exception) -> None:
    """The text holds no path of this host and no trace of Python frames."""
    text = str(error)
    assert not ABSOLUTE_PATH.search(text), text
    assert "Traceback" not in text
    assert ".py" not in text


class Words(tf.Module):  # type: ignore[misc]
    """A linear layer, and a vocabulary that it reads from an asset."""

    def __init__(self, vocabulary: Path) -> None:
        super().__init__()
        self.weights = tf.Variable(tf.reshape(tf.range(6.0), (3, 2)))
        self.bias = tf.Variable([0.5, -0.5])
        self.calls = tf.Variable(0, dtype=tf.int64)
        self.asset = tf.saved_model.Asset(str(vocabulary))
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                self.asset,
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            default_value=-1,
        )

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def linear(self, x: Any) -> dict[str, Any]:
        """Product and sum: x @ weights + bias, float32 [n, 3] to float32 [n, 2]."""
        return {"y": tf.matmul(x, self.weights) + self.bias}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def lookup(self, words: Any) -> dict[str, Any]:
        """Line numbers of words in the vocabulary."""
        return {"ids": self.table.lookup(words)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="x")])
    def counted(self, x: Any) -> dict[str, Any]:
        """x, and how many calls there were: changes a variable inside a function."""
        return {"x": x * 2.0, "calls": self.calls.assign_add(1)}


@pytest.fixture(scope="module")
def words_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as TensorFlow 2 writes it."""
    folder = tmp_path_factory.mktemp("words")
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("null\neins\nzwei ☃\n", "utf-8")
    module = Words(vocabulary)
    tf.saved_model.save(
        module,
        str(folder / "model"),
        {"serving_default": module.linear, "lookup": module.lookup, "counted": module.counted},
    )
    vocabulary.unlink()
    return folder / "model"


def numbers() -> Signatures:
    """A graph with variables, fixed and free shapes, and steps in between."""
    x = tf1.placeholder(tf.float32, [None, 3], name="x")
    fixed = tf1.placeholder(tf.float32, [2], name="fixed")
    defaulted = tf1.placeholder_with_default([1.0, 2.0], [2], name="defaulted")
    weights = tf1.get_variable("weights", initializer=tf.reshape(tf.range(6.0), (3, 2)))
    inner = tf.add(tf1.matmul(x, weights), 1.0, name="inner")
    total = tf.reduce_sum(inner, name="total")
    doubled = tf.multiply(fixed, 2.0, name="doubled")
    sums = tf.add(fixed, defaulted, name="sums")
    checked = tf1.ensure_shape(x, [2, 3], name="checked")
    return {
        "serving_default": ({"x": x}, {"total": total, "inner": inner}),
        "fixed": ({"fixed": fixed}, {"doubled": doubled}),
        "defaulted": ({"fixed": fixed, "defaulted": defaulted}, {"sums": sums}),
        "echo": ({"x": x}, {"x": x, "total": total}),
        "only the fed": ({"x": x}, {"x": x}),
        "twice": ({"x": x}, {"one": total, "two": total}),
        "checked": ({"x": x}, {"checked": checked}),
    }


@pytest.fixture(scope="module")
def numbers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as TensorFlow 1 writes it."""
    return save_graph(tmp_path_factory.mktemp("numbers") / "model", numbers)


@pytest.fixture(scope="module")
def tagged_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with two graphs under different tag sets."""
    folder = tmp_path_factory.mktemp("tagged") / "model"
    builder = tf1.saved_model.Builder(str(folder))
    for tags, factor in ((["serve"], 2.0), (["serve", "gpu"], 3.0)):
        with tf1.Session(graph=tf.Graph()) as session:
            x = tf1.placeholder(tf.float32, [], name="x")
            y = tf.multiply(x, factor, name="y")
            signature = tf1.saved_model.predict_signature_def({"x": x}, {"y": y})
            if tags == ["serve"]:
                tf1.get_variable("unused", initializer=1.0)
                session.run(tf1.global_variables_initializer())
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            else:
                builder.add_meta_graph(tags, {"serving_default": signature})
    builder.save()
    return folder


def identities() -> Signatures:
    """One signature a dtype, which answers what it is fed."""
    found = {}
    for number in dtypes.supported():
        x = tf1.placeholder(tf.as_dtype(number), None)
        found[dtypes.name_of(number)] = ({"x": x}, {"y": tf1.identity(x)})
    return found


@pytest.fixture(scope="module")
def identity_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with an identity for every dtype."""
    return save_graph(tmp_path_factory.mktemp("identities") / "model", identities)


@pytest.fixture(scope="module")
def identity_graphs(identity_folder: Path) -> dict[int, Graph]:
    """All identities, loaded."""
    return {
        number: load(identity_folder, Selection(signature=dtypes.name_of(number)))
        for number in dtypes.supported()
    }


X = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32)
