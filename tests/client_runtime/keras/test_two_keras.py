"""Loading a file of Keras where both Keras are installed, and imported at some time or other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT, patience

pytest.importorskip("keras")
pytest.importorskip("tf_keras")

PROGRAM = """
import json, pathlib, sys
import keras, numpy
from accel_protocol.errors import ModelError
from client_runtime.keras.export import load

class Triple(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 3.0

x = keras.Input((4,))
model = keras.Model(x, Triple()(keras.layers.Dense(2)(x)))
folder, ones = pathlib.Path(sys.argv[1]), numpy.ones((3, 4))
expected = model.predict(ones, verbose=0)
answers = {"legacy": keras.__version__ < "3"}

def attempt(what, ending, **named):
    try:
        loaded = load(folder / f"model.{ending}", named)
        answer = loaded.predict(ones, verbose=0)
        answers[what] = "same" if numpy.allclose(answer, expected) else "other"
    except ModelError as error:
        answers[what] = error.message

for ending in ("keras", "h5"):
    model.save(folder / f"model.{ending}")
attempt("without its class", "keras")
attempt("with its class", "keras", Triple=Triple)
import tf_keras
attempt("beside tf_keras", "keras", Triple=Triple)
attempt("as h5", "h5", Triple=Triple)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each attempt, in a process of its own, which ends."""
    folder = tmp_path_factory.mktemp("files")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=patience(200),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return value


def test_a_first_attempt_that_fails_spoils_no_second_one(answers: dict[str, Any]) -> None:
    """Whoever forgot a custom class gives it, and the model is loaded."""
    assert "Triple" in answers["without its class"]
    assert answers["with its class"] == "same"


def test_two_of_keras_2_are_not_mixed(answers: dict[str, Any]) -> None:
    """With TensorFlow 2.15 `keras` would go round for ever; what it can load is not refused."""
    if answers["legacy"]:
        assert "a process that does not import it" in answers["beside tf_keras"]
        assert "Triple is a class of keras" in answers["beside tf_keras"]
    else:
        assert answers["beside tf_keras"] == "same"
    assert answers["as h5"] == "same"
