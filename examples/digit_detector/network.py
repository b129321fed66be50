"""The detector itself: a small fully convolutional network with two heads, in plain TensorFlow.

Why it exists: training (eager TensorFlow 2) and export (a TensorFlow 1 style graph) must build the
same network. Both call `predict` and differ only in the `Convolve` function that they pass, which
holds the weights. Plain ops rather than Keras layers, because current Keras cannot build a graph
for a TensorFlow 1 session.

Rules: nothing here creates variables or depends on the page size; pages are padded inside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from boxes import CENTRE_SCALE, SIZE_SCALE
from pages import CLASS_COUNT

Tensor = Any  # TensorFlow ships no type information
STRIDES = (8, 16)
# Heights in pixels of the default boxes of each head; handwritten digits are taller than wide.
DEFAULT_HEIGHTS = ((24.0, 33.0), (44.0, 58.0))
DEFAULT_ASPECT = 0.7

BOXES_PER_CELL = len(DEFAULT_HEIGHTS[0])
NUMBERS_PER_BOX = 1 + CLASS_COUNT + 4  # background, classes, offsets


@dataclass(frozen=True)
class Layer:
    """A convolution; hidden ones are normalised in training and followed by a ReLU."""

    name: str
    inputs: int
    outputs: int
    stride: int = 1
    hidden: bool = True
    kernel_size: int = 3

    @property
    def kernel_shape(self) -> tuple[int, int, int, int]:
        """Height, width, input channels, output channels."""
        return (self.kernel_size, self.kernel_size, self.inputs, self.outputs)


Convolve = Callable[[Layer, Tensor], Tensor]

HEAD_OUTPUTS = BOXES_PER_CELL * NUMBERS_PER_BOX
BACKBONE = (
    (
        Layer("stem", 3, 16, stride=2),
        Layer("quarter_1", 16, 32, stride=2),
        Layer("quarter_2", 32, 32),
        Layer("eighth_1", 32, 64, stride=2),
        Layer("eighth_2", 64, 64),
        Layer("eighth_3", 64, 64),
    ),
    (
        Layer("sixteenth_1", 64, 64, stride=2),
        Layer("sixteenth_2", 64, 64),
    ),
)
HEADS = (
    Layer("head_small", 64, HEAD_OUTPUTS, hidden=False),
    Layer("head_large", 64, HEAD_OUTPUTS, hidden=False),
)
LAYERS = (*BACKBONE[0], *BACKBONE[1], *HEADS)


def predict(pages: Tensor, convolve: Convolve) -> tuple[Tensor, Tensor]:
    """Runs the network on uint8 pages [n, height, width, 3].

    Returns class logits float32 [n, d, 11] (background first) and offsets float32 [n, d, 4] for
    the d default boxes of `default_boxes(height, width)`.
    """
    features = _pad(tf.cast(pages, tf.float32) / 127.5 - 1.0)
    logits, offsets = [], []
    for layers, head in zip(BACKBONE, HEADS, strict=True):
        for layer in layers:
            features = convolve(layer, features)
        numbers = convolve(head, features)
        numbers = tf.reshape(numbers, [tf.shape(numbers)[0], -1, NUMBERS_PER_BOX])
        logits.append(numbers[:, :, : 1 + CLASS_COUNT])
        offsets.append(numbers[:, :, 1 + CLASS_COUNT :])
    return tf.concat(logits, axis=1), tf.concat(offsets, axis=1)


def default_boxes(height: Tensor, width: Tensor) -> Tensor:
    """Default boxes float32 [d, 4] in pixels for pages of this size (int32 scalars)."""
    return tf.concat(
        [
            _boxes_of_one_head(-(-height // STRIDES[-1]), -(-width // STRIDES[-1]), head)
            for head in range(len(STRIDES))
        ],
        axis=0,
    )


def decode(offsets: Tensor, defaults: Tensor) -> Tensor:
    """Boxes float32 [d, 4] in pixels from offsets [d, 4]; the inverse of `boxes.encode`."""
    size = defaults[:, 2:] - defaults[:, :2]
    centre = (defaults[:, :2] + defaults[:, 2:]) / 2.0 + offsets[:, :2] * CENTRE_SCALE * size
    half = size * tf.exp(tf.minimum(offsets[:, 2:] * SIZE_SCALE, 3.0)) / 2.0
    return tf.concat([centre - half, centre + half], axis=1)


def _pad(pages: Tensor) -> Tensor:
    """Pads below and to the right to a multiple of the coarsest stride, with mid grey."""
    shape = tf.shape(pages)
    below, right = -shape[1] % STRIDES[-1], -shape[2] % STRIDES[-1]
    return tf.pad(pages, [[0, 0], [0, below], [0, right], [0, 0]])


def _boxes_of_one_head(rows: Tensor, columns: Tensor, head: int) -> Tensor:
    """Default boxes of one head; rows and columns count cells of the coarsest stride."""
    stride, heights = STRIDES[head], DEFAULT_HEIGHTS[head]
    finer = STRIDES[-1] // stride
    down = (tf.cast(tf.range(rows * finer), tf.float32) + 0.5) * float(stride)
    across = (tf.cast(tf.range(columns * finer), tf.float32) + 0.5) * float(stride)
    half_heights = tf.constant(heights) / 2.0
    # Order: row, column, box of the cell; the same as the channels of a head, reshaped.
    y, x, half = tf.meshgrid(down, across, half_heights, indexing="ij")
    corners = [y - half, x - half * DEFAULT_ASPECT, y + half, x + half * DEFAULT_ASPECT]
    return tf.reshape(tf.stack(corners, axis=-1), [-1, 4])
