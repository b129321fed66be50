"""Models as TensorFlow 1 exported them, with its own kinds of state and control flow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.manifest import Selection
from tests.accel_daemon.engines.conftest import Signatures, load, local_run

tf1 = tf.compat.v1
FLOAT, STRING, LONG = tf.float32, tf.string, tf.int64


@pytest.fixture(autouse=True)
def _old_control_flow() -> Iterator[None]:
    """Loops and branches are made of Enter, Exit, Switch and Merge."""
    tf1.disable_control_flow_v2()
    yield
    tf1.enable_control_flow_v2()


def loops() -> Signatures:
    """A loop in a loop with an array, and a branch."""
    x = tf1.placeholder(FLOAT, [None], name="x")
    array = tf.TensorArray(FLOAT, tf.size(x))

    def step(i: Any, total: Any, array: Any) -> Any:
        inner = tf1.while_loop(lambda v: v < 10, lambda v: v + 3, [x[i]])
        return i + 1, total + inner, array.write(i, inner)

    _, total, array = tf1.while_loop(lambda i, *_: i < tf.size(x), step, [0, 0.0, array])
    branch = tf1.cond(total > 12, lambda: total * 2, lambda: total - 1)
    return {"serving_default": ({"x": x}, {"y": array.stack(), "branch": branch})}


def variables() -> Signatures:
    """References and resources, in parts, of several dtypes."""
    x = tf1.placeholder(FLOAT, [None, 4], name="x")
    parts = tf1.fixed_size_partitioner(2)
    made = [
        tf1.get_variable(
            f"w{number}", initializer=tf.reshape(tf.range(12.0), (4, 3)) + number,
            use_resource=resource, **how,
        )
        for number, (resource, how) in enumerate(
            [(False, {}), (True, {}), (False, {"partitioner": parts})]
        )
    ]  # fmt: skip
    names = tf1.get_variable("names", initializer=["a", "b"], use_resource=False)
    half = tf1.get_variable("half", initializer=tf.cast([1.5], tf.bfloat16), use_resource=True)
    y = sum(tf1.matmul(x, tf1.convert_to_tensor(one)) for one in made)
    embedded = tf.nn.embedding_lookup(made[1], [2, 0])
    outputs = {"y": y + tf.cast(half, FLOAT), "e": embedded, "names": tf.identity(names)}
    return {"serving_default": ({"x": x}, outputs)}


def tables() -> Signatures:
    """Tables with and without state."""
    x = tf1.placeholder(STRING, [None], name="x")
    index = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([5, 6], LONG)), -1
    )
    back = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant([5, 6], LONG), ["A", "B"]), "?"
    )
    found = index.lookup(x)
    return {"serving_default": ({"x": x}, {"ids": found, "words": back.lookup(found)})}


def saved_table() -> Signatures:
    """A table whose content is saved with the variables."""
    x = tf1.placeholder(STRING, [None], name="x")
    table = tf.lookup.experimental.MutableHashTable(STRING, LONG, -1, name="t", checkpoint=True)
    insert = table.insert(tf.constant(["a"]), tf.constant([9], LONG))
    tf1.add_to_collection("fill", insert)
    return {"serving_default": ({"x": x}, {"ids": table.lookup(x)})}


def classifier() -> Signatures:
    """Fed with serialized examples, as TensorFlow Serving's classify and regress are."""
    examples = tf1.placeholder(STRING, [None], name="examples")
    parsed = tf1.io.parse_example(
        examples, {"x": tf1.FixedLenFeature([2], FLOAT), "w": tf1.VarLenFeature(STRING)}
    )
    weights = tf1.get_variable("weights", initializer=[[1.0, -1.0], [0.5, 2.0]])
    scores = tf1.nn.softmax(tf1.matmul(parsed["x"], weights))
    classes = tf.gather(tf.constant(["no", "yes"]), tf.argsort(scores, direction="DESCENDING"))
    return {"serving_default": ({"inputs": examples}, {"scores": scores, "classes": classes})}


def serialized() -> Any:
    """Two examples."""
    features = {"x": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0, 2.0]))}
    one = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return np.array([one, one], object)


WORDS = np.array([b"a", b"b", b"c"], object)
MODELS: Mapping[Callable[[], Signatures], Any] = {
    loops: np.float32([1, 8, 20]),
    variables: np.ones((2, 4), np.float32),
    tables: WORDS,
    saved_table: WORDS,
    classifier: serialized(),
}


@pytest.mark.parametrize("build", MODELS, ids=[build.__name__ for build in MODELS])
def test_a_model_of_tensorflow_1_gives_what_it_gave(
    tmp_path: Path, build: Callable[[], Signatures]
) -> None:
    """State comes back without the file's own restore and assignment being run."""
    folder, value = tmp_path / "model", MODELS[build]
    with tf1.Session(graph=tf.Graph()) as session:
        ((key, (inputs, outputs)),) = build().items()
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        session.run(tf1.get_collection("fill"))
        builder = tf1.saved_model.Builder(str(folder))
        signature = tf1.saved_model.predict_signature_def(dict(inputs), dict(outputs))
        builder.add_meta_graph_and_variables(
            session, ["serve"], {key: signature}, main_op=tf1.tables_initializer()
        )
        builder.save()
    (alias, feed), *_ = inputs.items()
    expected = local_run(folder, ["serve"], [t.name for t in outputs.values()], {feed.name: value})
    answer = load(folder, Selection(signature=key)).run({alias: value}, None)
    assert build is not saved_table or answer["ids"].tolist() == [9, -1, -1]
    for name, wanted in zip(outputs, expected, strict=True):
        if wanted.dtype == object:
            assert answer[name].tolist() == wanted.tolist()
        else:
            np.testing.assert_allclose(answer[name], wanted, 1e-6)
