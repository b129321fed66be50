"""Every architecture of keras.applications is admitted."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from accel_daemon.engines.tensorflow_graph import Graph
from accel_daemon.engines.tensorflow_ops import ADMITTED
from accel_protocol.manifest import Selection
from tests.accel_daemon.engines.conftest import load

# Which ops each architecture has when it infers, by the version of Keras that was looked at.
SURVEY: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "resources" / "keras_applications.json").read_text()
)
ARCHITECTURES = [(keras, name) for keras, found in SURVEY.items() for name in found]


@pytest.mark.parametrize(("keras", "name"), ARCHITECTURES)
def test_an_architecture_is_admitted(keras: str, name: str) -> None:
    """All ops that it has."""
    assert set(SURVEY[keras][name].split()) <= ADMITTED.keys()


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_no_architecture_is_forgotten(package: str) -> None:
    """What can be called with `weights` is an architecture; the survey has them all."""
    module = pytest.importorskip(package).applications
    there = {
        name
        for name in dir(module)
        if callable(getattr(module, name))
        and "weights" in getattr(module, name).__code__.co_varnames
    }
    surveyed = {name for found in SURVEY.values() for name in found}
    assert there <= surveyed


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50"])
def test_an_architecture_is_as_it_was_looked_at(tmp_path: Path, name: str) -> None:
    """Built anew and exported it is loaded, and gives what Keras gives."""
    keras = importlib.import_module("keras")
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3))
    model.export(str(tmp_path / "model"))
    value = np.linspace(0, 255, 32 * 32 * 3, dtype=np.float32).reshape(1, 32, 32, 3)
    graph = load(tmp_path / "model", Selection(signature="serve"))
    (feed,), (fetch,) = graph.feeds, graph.fetches
    expected = np.asarray(model(value, training=False))
    np.testing.assert_allclose(graph.run({feed: value}, None)[fetch], expected, 1e-4, 1e-6)
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(
        tf.TensorSpec((None, 32, 32, 3), tf.float32)
    )
    graph_def = Graph(function.graph.as_graph_def())
    nodes = [graph_def.nodes[n] for n in graph_def.behind([function.outputs[0].name])]
    version = f"keras {keras.__version__}"
    if version in SURVEY:
        inner = {
            node.op for f in graph_def.functions_of([n.name for n in nodes])
            for node in graph_def.functions[f].node_def
        }  # fmt: skip
        assert {node.op for node in nodes} | inner == set(SURVEY[version][name].split())
