"""`tensorflow.contrib` after `import client_runtime.compat.contrib`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest

from client_runtime import predictor


@pytest.fixture(autouse=True)
def tensorflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """An empty package called tensorflow, and nothing left behind."""
    module = ModuleType("tensorflow")
    module.__path__ = []
    kept = {name: sys.modules[name] for name in sys.modules if name.startswith("tensorflow")}
    for name in kept:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow", module)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    importlib.import_module("client_runtime.compat.contrib").install()
    yield module
    for name in [name for name in sys.modules if name.startswith("tensorflow.")]:
        del sys.modules[name]


def test_predictor_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import path of AWS's TensorFlow gives our predictor, with lenient results."""
    module = importlib.import_module("tensorflow.contrib.ei.python.predictor.ei_predictor")
    monkeypatch.setattr(predictor.EIPredictor, "__init__", lambda self: None)
    monkeypatch.setattr(
        predictor.EIPredictor, "__call__", lambda *_, **__: {"n": np.ones(1), "s": b"text"}
    )

    answer = module.EIPredictor()({})

    assert issubclass(module.EIPredictor, predictor.EIPredictor)
    assert (int(answer["n"]), answer["s"]) == (1, b"text")


def test_contrib_predictor_needs_no_import(tensorflow: ModuleType) -> None:
    """`tf.contrib.predictor.from_saved_model` is there as an attribute."""
    contrib = importlib.import_module("tensorflow.contrib")

    assert callable(contrib.predictor.from_saved_model)
    assert vars(tensorflow)["contrib"] is contrib


@pytest.mark.parametrize(
    "statement",
    [
        "import tensorflow.contrib.slim",
        "import tensorflow.contrib.slim.nets as nets",
        "from tensorflow.contrib import slim",
        "from tensorflow.contrib.slim.nets import inception",
    ],
)
def test_missing_modules_say_what_replaced_them(statement: str) -> None:
    """Every way of importing fails with the words of the table."""
    with pytest.raises(ImportError, match=r"no tensorflow\.contrib\.slim.*the package tf_slim"):
        exec(statement, {})


def test_missing_attributes_say_what_replaced_them() -> None:
    """`tf.contrib.rnn` too, and hasattr stays usable."""
    contrib = importlib.import_module("tensorflow.contrib")

    assert not hasattr(contrib, "rnn")
    with pytest.raises(AttributeError, match=r"tf\.nn\.rnn_cell"):
        _ = contrib.rnn
