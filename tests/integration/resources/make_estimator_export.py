"""Make the Estimator export beside this file. Needs TensorFlow 2.15, the last with Estimator.

python make_estimator_export.py estimator
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf


def features() -> dict[str, Any]:
    """The columns of the classifier's input."""
    return {
        "age": tf.io.FixedLenFeature([1], tf.float32),
        "town": tf.io.FixedLenFeature([1], tf.string),
    }


def columns() -> list[Any]:
    """The same, as feature columns: a number, and a word looked up in a vocabulary."""
    town = tf.feature_column.categorical_column_with_vocabulary_list("town", ["Ulm", "Köln"])
    return [tf.feature_column.numeric_column("age"), tf.feature_column.indicator_column(town)]


def training_data() -> Any:
    """A few hundred made-up people, of two classes."""
    rng = np.random.default_rng(0)
    age = rng.uniform(0, 90, (256, 1)).astype(np.float32)
    town = rng.choice(["Ulm", "Köln"], (256, 1))
    label = ((age[:, 0] > 40) ^ (town[:, 0] == "Ulm")).astype(np.int64)
    return tf.data.Dataset.from_tensor_slices(({"age": age, "town": town}, label)).batch(32)


def main(target: Path) -> None:
    """Train for a moment and export with a parser of tf.Example strings."""
    with tempfile.TemporaryDirectory() as scratch:
        estimator = tf.estimator.DNNClassifier(
            [8], columns(), model_dir=scratch, config=tf.estimator.RunConfig(tf_random_seed=1)
        )
        estimator.train(training_data, steps=20)
        receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(features())
        made = estimator.export_saved_model(f"{scratch}/export", receiver)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(made.decode(), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
