"""`tensorflow.contrib`, as far as it is still of use: `ei`, `predictor` and `util`."""

from __future__ import annotations

import importlib
from typing import Any

from client_runtime.compat.contrib_names import explain

_HERE = ("ei", "predictor", "util")


def __getattr__(name: str) -> Any:
    # As in TensorFlow 1, `tf.contrib.predictor` needs no import of its own.
    if name in _HERE:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise AttributeError(explain(name))
