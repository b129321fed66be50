"""The package `ei_for_tf`."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from ei_for_tf.python.predictor.ei_predictor import EIPredictor
from ei_for_tf.python.keras.ei_keras import EIKerasModel
import client_runtime, client_runtime.keras.model
assert issubclass(EIPredictor, client_runtime.EIPredictor)
assert EIKerasModel is client_runtime.keras.model.EIKerasModel
assert "tensorflow" not in sys.modules
"""


def test_is_importable_without_tensorflow() -> None:
    """Both classes are there under their names of TensorFlow 2's time; nothing loads TensorFlow."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
