"""A model runs locally as it runs on an accelerator."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from accel_protocol.errors import FeedError, GraphError
from accel_protocol.manifest import FROZEN_GRAPH, SAVED_MODEL
from client_runtime import EIPredictor, feeds
from client_runtime.local import LocalPredictor
from client_runtime.models import frozen_graph, saved_model
from client_runtime.models.selection import Choice, select
from tests.conftest import environment, patience

tf1 = tf.compat.v1
X = np.arange(8, dtype=np.float32).reshape(2, 4)


def local(model: Path, choice: Choice = Choice(), **options: Any) -> LocalPredictor:  # noqa: B008
    """A model of this folder, in this process."""
    return LocalPredictor(model, SAVED_MODEL, select(saved_model.read(model), choice), **options)


def assert_same(model: Path, feed: Mapping[str, Any], **chosen: Any) -> None:
    """The accelerator and this process give the same."""
    choice = Choice(**chosen)
    arrays = feeds.convert(feed, select(saved_model.read(model), choice).feeds)
    with EIPredictor(model, **chosen) as remote, local(model, choice) as here:
        expected, answer = remote(feed), here.run(arrays)
    assert set(answer) == set(expected)
    for alias, value in expected.items():
        assert answer[alias].dtype == np.asarray(value, answer[alias].dtype).dtype
        assert answer[alias].shape == np.shape(value)
        if answer[alias].dtype == object:
            assert answer[alias].tolist() == np.asarray(value, object).tolist()
        else:
            np.testing.assert_allclose(answer[alias], value, rtol=1e-5)


@pytest.mark.parametrize(
    ("feed", "chosen"),
    [
        ({"x": X}, {}),
        ({"x": X.tolist()}, {"signature_def_key": "serving_default"}),
        ({"text": np.array(["straße", b"a\0"], object)}, {"signature_def_key": "shout"}),
        ({"text": "scalar"}, {"signature_def_key": "shout"}),
    ],
)
def test_answers_are_the_accelerator_s(
    home: Path, model: Path, feed: dict[str, Any], chosen: dict[str, Any]
) -> None:
    """Values, dtypes, shapes and aliases."""
    assert_same(model, feed, **chosen)


def numbers(folder: Path) -> Path:
    """A SavedModel of TensorFlow 1 with a variable, a fixed shape and a default."""
    with tf1.Session(graph=tf.Graph()) as session:
        x = tf1.placeholder(tf.float32, [2], name="x")
        factor = tf1.placeholder_with_default(2.0, [], name="factor")
        weight = tf1.get_variable("weight", initializer=3.0)
        scaled = tf.multiply(x * weight, factor, name="scaled")
        total = tf.reduce_sum(scaled, name="total")
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(folder), {"x": x, "factor": factor}, {"t": total})
    return folder


@pytest.mark.parametrize(
    ("feed", "inputs", "outputs"),
    [
        ({"x": [1, 2]}, {"x": "x:0"}, {"t": "total:0"}),
        ({"x": np.ones((3, 3))}, {"x": "x:0"}, {"t": "total:0"}),
        ({"x": [1, 2], "f": 5}, {"x": "x:0", "f": "factor:0"}, {"t": "total:0"}),
        ({"x": [1, 2], "f": None}, {"x": "x:0", "f": "factor:0"}, {"t": "total:0"}),
        ({"s": [1, 2]}, {"s": "scaled:0"}, {"t": "total:0", "s": "scaled:0"}),
        ({"s": [7.5]}, {"s": "scaled:0"}, {"same": "scaled:0"}),
    ],
)
def test_any_tensor_is_fed_and_fetched_as_there(
    home: Path, tmp_path: Path, feed: Any, inputs: dict[str, str], outputs: dict[str, str]
) -> None:
    """Other shapes than declared, inner tensors, defaults, and fetches that are fed."""
    assert_same(numbers(tmp_path / "model"), feed, input_names=inputs, output_names=outputs)


def test_a_graph_that_fails_raises_what_the_accelerator_raises(model: Path) -> None:
    """And TensorFlow's own exception is its cause."""
    with local(model) as predictor, pytest.raises(GraphError, match="size-incompatible") as caught:
        predictor.run({"x": np.ones((2, 5), np.float32)})
    assert isinstance(caught.value.__cause__, tf.errors.InvalidArgumentError)


@pytest.mark.parametrize("fed", [{"typo": X}, {"x": np.array(["a"], object)}])
def test_wrong_feeds_are_refused(model: Path, fed: dict[str, Any]) -> None:
    """Unknown aliases and dtypes that do not convert."""
    with local(model) as predictor, pytest.raises(FeedError):
        predictor.run(fed)


def test_the_model_goes_into_the_given_graph(tmp_path: Path) -> None:
    """Beside what is in it, as TensorFlow's predictor does it."""
    graph = tf.Graph()
    with graph.as_default():
        tf.constant(1.0, name="mine")
    with local(numbers(tmp_path / "model"), graph=graph) as predictor:
        assert predictor.graph is graph
        assert graph.get_tensor_by_name("mine:0") is not None
        assert predictor.feed_tensors["x"] is graph.get_tensor_by_name("x:0")
        assert predictor.fetch_tensors["t"] is graph.get_tensor_by_name("total:0")
        with graph.as_default():
            added = graph.get_tensor_by_name("factor:0") + 1.0
        assert predictor.session.run(added) == 3.0
        assert predictor.run({"x": np.float32([1, 2])})["t"] == 18.0


def test_a_graph_with_the_model_s_names_is_refused(tmp_path: Path) -> None:
    """TensorFlow would rename the model's nodes and answer with the other ones."""
    graph = tf.Graph()
    with graph.as_default():
        tf1.placeholder(tf.float32, [2], name="x")
    with pytest.raises(ValueError, match=r"nodes that are called as the model's: \['x'\]"):
        local(numbers(tmp_path / "model"), graph=graph)


def test_the_predictor_runs_locally(model: Path, tmp_path: Path) -> None:
    """`use_ei=False` needs no accelerator, and takes the graph and config of the original."""
    graph = tf.Graph()
    config = tf1.ConfigProto(device_count={"CPU": 2})
    with EIPredictor(model, graph=graph, config=config, use_ei=False) as predictor:
        assert predictor.graph is graph
        assert len(predictor.session.list_devices()) >= 2
        answer = predictor({"x": X})
    np.testing.assert_allclose(answer["z"], X.sum(), rtol=1e-5)


def test_the_session_gets_the_given_config(model: Path) -> None:
    """For instance the devices it may see."""
    config = tf1.ConfigProto(device_count={"CPU": 3})
    with local(model, config=config) as predictor:
        assert len(predictor.session.list_devices()) >= 3


def test_a_frozen_graph_runs(tmp_path: Path) -> None:
    """As a SavedModel does, from one file."""
    with tf.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None], name="x")
        tf.multiply(x, 2.0, name="y")
    (tmp_path / "g.pb").write_bytes(graph.as_graph_def().SerializeToString())
    choice = Choice(input_names={"a": "x:0"}, output_names={"b": "y:0"})
    selection = frozen_graph.select(tmp_path / "g.pb", choice)
    with LocalPredictor(tmp_path / "g.pb", FROZEN_GRAPH, selection) as predictor:
        assert predictor.run({"a": np.float32([1, 2])})["b"].tolist() == [2.0, 4.0]


def test_models_do_not_meet(new_model: Callable[[int], Path]) -> None:
    """Equal names of variables in two models are different variables."""
    with local(new_model(301)) as first, local(new_model(302)) as second:
        before = first.run({"x": X})["y"]
        assert not np.allclose(second.run({"x": X})["y"], before)
        np.testing.assert_array_equal(first.run({"x": X})["y"], before)


def test_a_model_in_text_form_is_the_same(home: Path, model: Path, tmp_path: Path) -> None:
    """TensorFlow's text form of a SavedModel, here and on the accelerator."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf import saved_model_pb2

    binary = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    (tmp_path / "saved_model.pbtxt").write_text(text_format.MessageToString(binary))
    (tmp_path / "variables").symlink_to(model / "variables")
    text, original = saved_model.read(tmp_path)[0], saved_model.read(model)[0]
    assert (text.tags, text.signatures) == (original.tags, original.signatures)
    assert saved_model.tensors_of_graph(text.graph_def) == saved_model.tensors_of_graph(
        original.graph_def
    )
    assert_same(tmp_path, {"x": X})


def test_without_tensorflow_the_remedy_names_the_extra(model: Path, tmp_path: Path) -> None:
    """Importing the module loads no TensorFlow; using it says what to install."""
    script = (
        "import sys\n"
        "sys.modules['tensorflow'] = None\n"
        "from pathlib import Path\n"
        "from client_runtime.models import saved_model, selection\n"
        "from client_runtime.local import LocalPredictor\n"
        "from accel_protocol.errors import ConfigurationError\n"
        "model = Path(sys.argv[1])\n"
        "chosen = selection.select(saved_model.read(model), selection.Choice())\n"
        "try:\n"
        "    LocalPredictor(model, 'tensorflow.saved_model', chosen)\n"
        "except ConfigurationError as error:\n"
        "    print(error.reason, error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(model)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=patience(60),
    )
    assert "ENGINE_MISSING pip install 'elastic-accelerator[local]'" in done.stdout
