"""`EIKerasModel.predict` gives what Keras's own `predict` gives."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.errors import CallError, ModelError
from client_runtime import connect
from client_runtime.keras.model import EIKerasModel
from tests.conftest import environment, patience

INSTALLED = [name for name in ("keras", "tf_keras") if importlib.util.find_spec(name)]


@pytest.fixture(scope="module", params=INSTALLED)
def keras(request: pytest.FixtureRequest) -> Any:
    """Each Keras that is installed: Keras 3 as keras, Keras 2 as tf_keras."""
    return importlib.import_module(request.param)


@pytest.fixture
def predict(home: Path) -> Iterator[Callable[..., Any]]:
    """Predicts on an accelerator."""
    with connect() as attachment:

        def on_accelerator(model: Any, x: Any, **options: Any) -> Any:
            with EIKerasModel(model, attachment=attachment) as converted:
                return converted.predict(x, **options)

        yield on_accelerator


def assert_same(answer: Any, expected: Any) -> None:
    """The same structure, dtypes, shapes, and values within float32's tolerance."""
    if isinstance(expected, dict):
        assert list(answer) == list(expected)
        for key in expected:
            assert_same(answer[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert isinstance(answer, list | tuple)
        assert len(answer) == len(expected)
        for one, other in zip(answer, expected, strict=True):
            assert_same(one, other)
    else:
        assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-6)


def sample(*shape: int) -> Any:
    """Float64 numbers, as callers have them."""
    return np.random.default_rng(sum(shape)).normal(size=shape)


def dense(keras: Any) -> Any:
    """A Sequential model with layers that do something else while training."""
    layers = keras.layers
    parts = [keras.Input((4,)), layers.Dense(5, "relu"), layers.BatchNormalization()]
    return keras.Sequential([*parts, layers.Dropout(0.5), layers.Dense(2)])


def two_ways(keras: Any, *, outputs: str = "list", inputs: str = "list") -> Any:
    """A Functional model with two inputs and two outputs."""
    layers = keras.layers
    ids, mask = keras.Input((3,), name="ids", dtype="int32"), keras.Input((4,), name="mask")
    words = layers.Flatten()(layers.Embedding(10, 2)(ids))
    y = layers.Dense(2, name="y")(layers.Concatenate()([words, mask]))
    z = layers.Activation("tanh", name="z")(mask)
    given = {"ids": ids, "mask": mask} if inputs == "dict" else [ids, mask]
    return keras.Model(given, {"y": y, "z": z} if outputs == "dict" else [y, z])


@pytest.mark.parametrize("options", [{}, {"batch_size": 7}, {"batch_size": 1000}])
def test_batches_are_put_together(
    keras: Any, predict: Callable[..., Any], options: dict[str, int]
) -> None:
    """The last batch is smaller; nothing is lost, doubled or in another order."""
    model, x = dense(keras), sample(40, 4)
    assert_same(predict(model, x, **options), model.predict(x, verbose=0, **options))


@pytest.mark.parametrize(
    "given",
    [
        lambda ids, mask: [ids, mask],
        lambda ids, mask: (ids, mask),
        lambda ids, mask: {"mask": mask, "ids": ids},
        lambda ids, mask: [tf.constant(ids), tf.constant(mask, tf.float32)],
        lambda ids, mask: [ids.astype(np.int64), mask.astype(np.float16)],
    ],
)
@pytest.mark.parametrize("outputs", ["list", "dict"])
def test_several_inputs_and_outputs(
    keras: Any, predict: Callable[..., Any], given: Callable[..., Any], outputs: str
) -> None:
    """By position, by name, and of other dtypes than declared."""
    model = two_ways(keras, outputs=outputs)
    ids, mask = np.arange(120).reshape(40, 3) % 10, sample(40, 4)
    x = given(ids, mask)
    expected = model.predict(list(x) if isinstance(x, tuple) else x, verbose=0)
    assert_same(predict(model, x, batch_size=16), expected)


def test_inputs_declared_as_a_dict(keras: Any, predict: Callable[..., Any]) -> None:
    """They are given as a dict."""
    model = two_ways(keras, inputs="dict", outputs="dict")
    x = {"ids": np.ones((3, 3), np.int32), "mask": sample(3, 4)}
    assert_same(predict(model, x), model.predict(x, verbose=0))


def test_a_subclassed_model(keras: Any, predict: Callable[..., Any]) -> None:
    """It does not declare its inputs, so they are what it is given."""

    class Model(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            y = self.dense(inputs["a"])
            return y, {"more": y + inputs["b"]}

    model, x = Model(), {"a": sample(9, 5), "b": np.arange(27).reshape(9, 3).astype("float32")}
    expected = model.predict(x, verbose=0)
    assert_same(predict(model, x, batch_size=4), expected)


def test_a_subclassed_model_takes_other_shapes_later(keras: Any, home: Path) -> None:
    """As Keras does, it is converted again where the old conversion does not fit."""

    class Model(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = keras.layers.GRU(3)

        def call(self, inputs: Any) -> Any:
            return self.recurrent(inputs)

    model = Model()
    with EIKerasModel(model) as converted:
        for length in (6, 2, 6):
            x = sample(5, length, 2)
            assert_same(converted.predict(x), model.predict(x, verbose=0))


def test_an_overridden_predict_step_counts(keras: Any, predict: Callable[..., Any]) -> None:
    """What is run is the model's own prediction, and not merely its call."""

    class Model(keras.Model):  # type: ignore[misc, name-defined]
        def predict_step(self, data: Any) -> Any:
            return super().predict_step(data) * 100.0

    x = keras.Input((4,))
    model = Model(x, keras.layers.Dense(2)(x))
    assert_same(predict(model, sample(3, 4)), model.predict(sample(3, 4), verbose=0))


def test_strings_and_their_vocabulary(keras: Any, predict: Callable[..., Any]) -> None:
    """Lookup tables go with the model."""
    words = keras.layers.TextVectorization(output_sequence_length=3)
    words.adapt(np.array(["a b c", "b c d"], object))
    text = keras.Input((1,), dtype="string")
    model = keras.Model(text, keras.layers.Embedding(10, 2)(words(text)))
    x = np.array([["a b"], ["c ☃"]], object)
    assert_same(predict(model, x), model.predict(tf.constant(x), verbose=0))


def test_a_last_axis_of_one_may_be_left_out(keras: Any, predict: Callable[..., Any]) -> None:
    """As Keras allows it."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    assert_same(predict(model, sample(5)), model.predict(sample(5), verbose=0))


def test_generators_and_datasets(keras: Any, predict: Callable[..., Any]) -> None:
    """Batches come as they are, targets are left out, `steps` bounds them."""
    model, x = dense(keras), sample(10, 4).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros(10))).batch(4)
    expected = model.predict(x, verbose=0)
    assert_same(predict(model, dataset), expected)
    assert_same(predict(model, ((x[i : i + 2], None) for i in range(0, 10, 2))), expected)
    endless = iter(lambda: (x[:5],), None)
    assert_same(predict(model, endless, steps=2), np.concatenate([expected[:5]] * 2))


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_files_are_loaded_with_their_custom_objects(
    keras: Any, predict: Callable[..., Any], tmp_path: Path, ending: str
) -> None:
    """Of either Keras, whichever else is installed."""

    class Triple(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs * 3.0

    x = keras.Input((4,))
    model = keras.Model(x, Triple()(keras.layers.Dense(2)(x)))
    path = tmp_path / f"model.{ending}"
    model.save(path)
    expected = model.predict(sample(3, 4), verbose=0)
    with EIKerasModel(str(path), custom_objects={"Triple": Triple}) as converted:
        assert_same(converted.predict(sample(3, 4)), expected)
    with pytest.raises(ModelError, match="Keras cannot load model") as caught:
        EIKerasModel(path)
    assert "custom_objects" in caught.value.remedy


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_files_of_built_in_layers(
    keras: Any, predict: Callable[..., Any], tmp_path: Path, ending: str
) -> None:
    """Their weights are there, whichever Keras made them and whichever reads them."""
    model = dense(keras)
    model.save(tmp_path / f"model.{ending}")
    expected = model.predict(sample(3, 4), verbose=0)
    assert_same(predict(tmp_path / f"model.{ending}", sample(3, 4)), expected)


def test_later_training_does_not_change_it(keras: Any, home: Path) -> None:
    """A model is converted with the weights it has."""
    model = dense(keras)
    expected = model.predict(sample(3, 4), verbose=0)
    with EIKerasModel(model) as converted:
        model.set_weights([weight * 0 for weight in model.get_weights()])
        assert_same(converted.predict(sample(3, 4)), expected)


def test_locally_it_is_the_same(keras: Any) -> None:
    """`use_ei=False` needs no accelerator."""
    model = two_ways(keras, outputs="dict")
    x = [np.ones((40, 3), np.int32), sample(40, 4)]
    with EIKerasModel(model, use_ei=False) as converted:
        assert_same(converted.predict(x), model.predict(x, verbose=0))


def test_one_batch_in_one_call(keras: Any, home: Path) -> None:
    """Calling it, and `predict_on_batch`, as Keras has them."""
    model = dense(keras)
    with EIKerasModel(model) as converted:
        assert_same(
            converted.predict_on_batch(sample(40, 4)), model.predict_on_batch(sample(40, 4))
        )
        assert_same(converted(sample(2, 4)), model.predict_on_batch(sample(2, 4)))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([np.ones((2, 3))], "2 inputs, and 1"),
        ([np.ones((2, 3)), np.ones((3, 4))], "equally many samples"),
        ([np.ones((0, 3)), np.ones((0, 4))], "at least one"),
        ({"ids": np.ones((2, 3))}, r"\['mask'\]"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(keras: Any, x: Any, message: str) -> None:
    """Before anything is sent."""
    with EIKerasModel(two_ways(keras)) as converted, pytest.raises(ValueError, match=message):
        converted.predict(x)


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "compile", "train_on_batch", "test_on_batch"]
)
def test_training_is_refused(keras: Any, method: str) -> None:
    """With a word on what to do instead."""
    with EIKerasModel(dense(keras)) as converted, pytest.raises(CallError, match="only predicts"):
        getattr(converted, method)(sample(1, 4), sample(1, 2))


def test_closing_removes_what_was_converted(keras: Any) -> None:
    """And the model predicts no more."""
    converted = EIKerasModel(dense(keras))
    folder = converted._folder
    assert (folder / "0" / "saved_model.pb").exists()
    converted.close()
    converted.close()
    assert not folder.exists()
    with pytest.raises(CallError, match="closed"):
        converted.predict(sample(1, 4))


def test_forgetting_removes_what_was_converted(keras: Any) -> None:
    """`del` is how callers of the original freed a model."""
    converted = EIKerasModel(dense(keras))
    folder = converted._folder
    del converted
    assert not folder.exists()


@pytest.mark.parametrize("given", [3, None, tf.Module()])
def test_what_is_no_model_is_refused(given: Any) -> None:
    """Neither a Keras model nor a path."""
    with pytest.raises(TypeError, match="Expected a Keras model"):
        EIKerasModel(given)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """An OSError, at construction."""
    with pytest.raises(FileNotFoundError, match="No file or directory found at"):
        EIKerasModel(tmp_path / "absent.keras")


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_broken_file_is_refused(tmp_path: Path, ending: str) -> None:
    """With what each Keras says of it."""
    with zipfile.ZipFile(tmp_path / f"broken.{ending}", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match="Keras cannot load broken"):
        EIKerasModel(tmp_path / f"broken.{ending}")


GRAPH_MODE = """
import sys, importlib
import numpy as np
import tensorflow as tf
getattr(tf.compat.v1, sys.argv[2])()
keras = importlib.import_module(sys.argv[1])
from client_runtime.keras.model import EIKerasModel
a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
y = keras.layers.Dense(3)(keras.layers.BatchNormalization()(a))
model = keras.Model([a, b], [y, keras.layers.Concatenate()([y, b])])
x = [np.random.rand(40, 4), np.random.rand(40, 2)]
expected = model.predict(x)
before = len(tf.compat.v1.get_default_graph().get_operations())
with EIKerasModel(model) as converted:
    answer = converted.predict(x)
assert len(tf.compat.v1.get_default_graph().get_operations()) == before
assert not tf.executing_eagerly()
for one, other in zip(answer, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
"""


@pytest.mark.parametrize("disable", ["disable_eager_execution", "disable_v2_behavior"])
def test_without_eager_execution(home: Path, keras: Any, disable: str) -> None:
    """Amazon's sample disables it. The caller's graph is left as it was."""
    if keras.__version__.startswith("3"):
        pytest.skip("Keras 3 itself does not work without eager execution")
    done = subprocess.run(
        [sys.executable, "-c", GRAPH_MODE, keras.__name__, disable],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=patience(120),
    )
    assert done.returncode == 0, done.stderr


def test_eager_execution_stays_on(keras: Any, home: Path) -> None:
    """Converting and predicting change no global state of TensorFlow."""
    graph = tf.compat.v1.get_default_graph()
    with EIKerasModel(dense(keras)) as converted:
        converted.predict(sample(1, 4))
    assert tf.executing_eagerly()
    assert tf.compat.v1.get_default_graph() is graph
