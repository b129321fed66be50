"""Small networks to compile, whose answers tell weights and feeds apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

_CHANNELS, _LAYERS = 32, 6


class Network(tf.Module):  # type: ignore[misc]
    """Convolutions, a normalization and a dense layer, with numbers that are all different."""

    def __init__(self, layers: int, fails: bool) -> None:
        super().__init__()
        noise = tf.random.stateless_normal
        sizes = [3, *([_CHANNELS] * layers)]
        self.kernels = [
            tf.Variable(noise([3, 3, sizes[i], sizes[i + 1]], [i, 1]) / (9 * sizes[i]) ** 0.5)
            for i in range(layers)
        ]
        self.scale, self.offset = (tf.Variable(1 + noise([_CHANNELS], [i, 2]) / 4) for i in (0, 1))
        self.mean, self.variance = (tf.Variable(tf.abs(noise([_CHANNELS], [i, 3]))) for i in (0, 1))
        self.dense = tf.Variable(noise([_CHANNELS, 10], [0, 4]))
        self.fails = fails

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="image")])
    def classify(self, image: Any) -> dict[str, Any]:
        """Scores and the best class of each image, float32 [n, height, width, 3] to [n, 10]."""
        x = image
        for kernel in self.kernels:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
        x, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.scale, offset=self.offset, mean=self.mean, variance=self.variance,
            is_training=False,
        )  # fmt: skip
        scores = tf.reduce_mean(x, [1, 2]) @ self.dense
        if self.fails:
            scores = tf.raw_ops.Betainc(
                a=2.0 + 0 * scores, b=3.0 + 0 * scores, x=tf.nn.softmax(scores)
            )
        return {"scores": scores, "best": tf.argmax(scores, 1)}


def save_network(folder: Path, *, fails: bool = False) -> Path:
    """A SavedModel of a network; `fails`: with an op that is not compiled."""
    network = Network(_LAYERS, fails)
    tf.saved_model.save(network, str(folder), {"serving_default": network.classify})
    return folder
