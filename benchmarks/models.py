"""Makes the models, as SavedModels with a feed "x" and a fetch "y": `python -m benchmarks.models`.

In a process of its own, because it needs TensorFlow, which the command does not load.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.work import WORKS


def _saved(folder: Path, module: Any, serve: Callable[[Any], Any], shape: list[int | None]) -> None:
    import tensorflow as tf

    spec = tf.TensorSpec(shape, tf.float32, name="x")
    module.serve = tf.function(serve, input_signature=[spec])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


def tiny(folder: Path, seed: int = 1) -> None:
    """One small matrix product: all that is measured is what surrounds it."""
    import tensorflow as tf

    module = tf.Module()
    module.w = tf.Variable(tf.random.stateless_normal([16, 4], [seed, 0]))
    _saved(folder, module, lambda x: {"y": x @ module.w}, [None, 16])


def sums(folder: Path) -> None:
    """Any number of floats in, four out."""
    import tensorflow as tf

    total = tf.reduce_sum
    _saved(folder, tf.Module(), lambda x: {"y": tf.fill([4], total(x))}, [None])


def big(folder: Path, seed: int = 1) -> None:
    """100 MB of weights, of which no two seeds share a byte."""
    import tensorflow as tf

    module = tf.Module()
    module.w = tf.Variable(tf.random.stateless_normal([5_000, 5_000], [seed, 0]))
    _saved(folder, module, lambda x: {"y": tf.reduce_mean(x @ module.w, 1)}, [None, 5_000])


def _application(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        network = getattr(keras.applications, name)(weights=None)
        module = tf.Module()
        module.weights = [variable.value for variable in network.variables]
        shape = [None, *WORKS["mobilenet"].shape[1:]]
        _saved(folder, module, lambda x: {"y": network(x)}, shape)

    return make


MAKERS: Mapping[str, Callable[[Path], None]] = {
    "tiny": tiny,
    "sum": sums,
    "mobilenet": _application("MobileNetV2"),
    "resnet": _application("ResNet50"),
    "big": big,
}


SEEDED: Mapping[str, Callable[[Path, int], None]] = {"big": big, "small": tiny}


def main(folder: str, *names: str) -> None:
    """Make these models in the folder; "big-7" is the big one with seed 7, small ones likewise."""
    for name in names:
        kind, _, seed = name.partition("-")
        if seed:
            SEEDED[kind](Path(folder) / name, int(seed))
        else:
            MAKERS[kind](Path(folder) / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
