"""Models whose answers tell which version made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf


def numbered_model(folder: Path, number: int, mebibytes: int = 1) -> Path:
    """A SavedModel of this size: y = number · x, and the number for each x."""

    class Model(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.table = tf.Variable(tf.fill([mebibytes << 18], float(number)), name="table")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def serve(self, x: Any) -> dict[str, Any]:
            found = tf.gather(self.table, 0)
            return {"y": found * x, "number": tf.fill(tf.shape(x), found)}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    return folder
