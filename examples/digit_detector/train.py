"""Trains the digit detector on pages made on the fly and exports it as a SavedModel.

Why it exists: the committed model is the output of this command, not a file of unknown origin.
Rules: only training digits (see `pages.split_digits`) are used, in this file and in all that it
calls. The same seed gives the same pages and starting weights. One processor core is enough.

    python train.py --output model/1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from boxes import BACKGROUND, Boxes, assign
from export import Weights, export_model
from network import LAYERS, Convolve, Layer, Tensor, default_boxes, predict
from numpy.typing import NDArray
from pages import Digits, Layout, make_page, split_digits

STEPS = 2800
BATCH_SIZE = 16
# Sides of training pages; all round up to PADDED_SIDE, so that they share their default boxes.
PAGE_SIDES = (177, 192)
PADDED_SIDE = 192
DIGITS_PER_PAGE = (1, 8)
TILT_DEGREES = 10.0  # more than pages have later, so that fewer digits teach more shapes

PEAK_LEARNING_RATE = 3e-3
WARM_UP_STEPS = 200
WEIGHT_DECAY = 0.02
NEGATIVES_PER_POSITIVE = 4
AVERAGING = 0.99
EPSILON = 1e-3


class Batch(NamedTuple):
    """Pages uint8 [n, height, width, 3], class ids int64 [n, d] and offsets float32 [n, d, 4]."""

    pages: NDArray[np.uint8]
    class_ids: NDArray[np.int64]
    offsets: Boxes


def make_batch(digits: Digits, defaults: Boxes, seed: int, step: int) -> Batch:
    """Makes the pages of a training step, all of one size, and what to learn from them."""
    low, high = PAGE_SIDES
    height, width = np.random.default_rng((seed, step)).integers(low, high + 1, 2)
    layout = Layout((height, height), (width, width), DIGITS_PER_PAGE, TILT_DEGREES)
    pages = [make_page(digits, layout, (seed, step, index)) for index in range(BATCH_SIZE)]
    extent = np.array([height, width, height, width], np.float32)
    targets = [assign(page.boxes * extent, page.class_ids, defaults) for page in pages]
    return Batch(
        np.stack([page.image for page in pages]),
        np.stack([class_ids for class_ids, _ in targets]),
        np.stack([offsets for _, offsets in targets]),
    )


def create_variables(seed: int) -> dict[str, Tensor]:
    """Creates what training changes, by name: for each layer kernel, bias and, if hidden, scale.

    Hidden layers also get the running `mean` and `variance`, which are not trained.
    """
    rng = np.random.default_rng(seed)
    variables = {}
    for layer in LAYERS:
        fan_in = layer.kernel_size**2 * layer.inputs
        spread = np.sqrt(2.0 / fan_in) if layer.hidden else 0.01
        kernel = rng.normal(0.0, spread, layer.kernel_shape).astype(np.float32)
        variables[f"{layer.name}/kernel"] = tf.Variable(kernel)
        variables[f"{layer.name}/bias"] = tf.Variable(tf.zeros(layer.outputs))
        if layer.hidden:
            variables[f"{layer.name}/scale"] = tf.Variable(tf.ones(layer.outputs))
            variables[f"{layer.name}/mean"] = tf.Variable(tf.zeros(layer.outputs))
            variables[f"{layer.name}/variance"] = tf.Variable(tf.ones(layer.outputs))
    return variables


def normalising_convolve(variables: dict[str, Tensor]) -> Convolve:
    """Convolutions with batch normalisation, which keep the running statistics up to date."""

    def convolve(layer: Layer, features: Tensor) -> Tensor:
        name = layer.name
        result = tf.nn.conv2d(features, variables[f"{name}/kernel"], layer.stride, "SAME")
        if not layer.hidden:
            return result + variables[f"{name}/bias"]
        mean, variance = tf.nn.moments(result, axes=[0, 1, 2])
        for part, value in (("mean", mean), ("variance", variance)):
            running = variables[f"{name}/{part}"]
            running.assign_add((1.0 - AVERAGING) * (value - running))
        bias, scale = variables[f"{name}/bias"], variables[f"{name}/scale"]
        normalised = tf.nn.batch_normalization(result, mean, variance, bias, scale, EPSILON)
        return tf.nn.relu(normalised)

    return convolve


def fold(variables: dict[str, Tensor]) -> Weights:
    """Folds the normalisation into kernels and biases, so that the export has neither."""
    values = {name: variable.numpy() for name, variable in variables.items()}
    weights: Weights = {}
    for layer in LAYERS:
        name = layer.name
        kernel, bias = values[f"{name}/kernel"], values[f"{name}/bias"]
        if layer.hidden:
            factor = values[f"{name}/scale"] / np.sqrt(values[f"{name}/variance"] + EPSILON)
            kernel, bias = kernel * factor, bias - values[f"{name}/mean"] * factor
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = kernel, bias
    return weights


def detection_loss(logits: Tensor, offsets: Tensor, batch: Batch) -> Tensor:
    """Scalar: cross-entropy on digits and the hardest background, plus smooth L1 on boxes."""
    targets = tf.maximum(batch.class_ids, BACKGROUND)
    is_digit = tf.cast(batch.class_ids > BACKGROUND, tf.float32)
    digits = tf.maximum(tf.reduce_sum(is_digit), 1.0)
    wrong = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)

    background = tf.where(tf.equal(batch.class_ids, BACKGROUND), wrong, tf.zeros_like(wrong))
    wanted = tf.cast(digits, tf.int32) * NEGATIVES_PER_POSITIVE
    hardest = tf.math.top_k(tf.reshape(background, [-1]), tf.minimum(wanted, tf.size(background)))
    class_loss = tf.reduce_sum(wrong * is_digit) + tf.reduce_sum(hardest.values)

    distance = tf.abs(offsets - batch.offsets)
    smooth = tf.where(distance < 1.0, 0.5 * distance**2, distance - 0.5)
    box_loss = tf.reduce_sum(tf.reduce_sum(smooth, axis=-1) * is_digit)
    return (class_loss + 0.5 * box_loss) / digits


def learning_rate(step: int) -> float:
    """Rises linearly at first, then falls to zero along half a cosine."""
    if step < WARM_UP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP_STEPS
    share = (step - WARM_UP_STEPS) / (STEPS - WARM_UP_STEPS)
    return float(PEAK_LEARNING_RATE * 0.5 * (1.0 + np.cos(np.pi * share)))


def adam(trained: list[Tensor]) -> Callable[[list[Tensor], Tensor, Tensor], None]:
    """Adam with decoupled weight decay; returns update(gradients, rate, step counted from 1)."""
    firsts = [tf.Variable(tf.zeros_like(variable)) for variable in trained]
    seconds = [tf.Variable(tf.zeros_like(variable)) for variable in trained]

    def update(gradients: list[Tensor], rate: Tensor, step: Tensor) -> None:
        gradients, _ = tf.clip_by_global_norm(gradients, 5.0)
        correction = tf.sqrt(1.0 - 0.999**step) / (1.0 - 0.9**step)
        for variable, gradient, first, second in zip(
            trained, gradients, firsts, seconds, strict=True
        ):
            first.assign(0.9 * first + 0.1 * gradient)
            second.assign(0.999 * second + 0.001 * gradient**2)
            is_kernel = variable.shape.rank > 1
            decay = WEIGHT_DECAY * variable if is_kernel else 0.0
            move = correction * first / (tf.sqrt(second) + 1e-7)
            variable.assign_sub(rate * (move + decay))

    return update


def training_step(variables: dict[str, Tensor]) -> Callable[[Batch, Tensor, Tensor], Tensor]:
    """Returns run(batch, rate, step) -> loss, compiled once for all page sizes."""
    trained = [v for name, v in variables.items() if not name.endswith(("mean", "variance"))]
    update = adam(trained)
    convolve = normalising_convolve(variables)

    def run(batch: Batch, rate: Tensor, step: Tensor) -> Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(trained)
            logits, offsets = predict(batch.pages, convolve)
            loss = detection_loss(logits, offsets, batch)
        update(tape.gradient(loss, trained), rate, step)
        return loss

    scalar = tf.TensorSpec([], tf.float32)
    batch = Batch(
        tf.TensorSpec([BATCH_SIZE, None, None, 3], tf.uint8),
        tf.TensorSpec([BATCH_SIZE, None], tf.int64),
        tf.TensorSpec([BATCH_SIZE, None, 4], tf.float32),
    )
    compiled: Callable[[Batch, Tensor, Tensor], Tensor] = tf.function(
        run, input_signature=[batch, scalar, scalar]
    )
    return compiled


def train(digits: Digits, steps: int, seed: int) -> Weights:
    """Trains on pages of these digits and returns weights ready for export."""
    defaults = default_boxes(PADDED_SIDE, PADDED_SIDE).numpy()
    variables = create_variables(seed)
    run = training_step(variables)
    began, losses = time.monotonic(), []
    for step in range(steps):
        batch = make_batch(digits, defaults, seed, step)
        rate, number = np.float32(learning_rate(step)), np.float32(step + 1)
        losses.append(float(run(batch, rate, number)))
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - began
            print(
                f"step {step + 1}: loss {np.mean(losses[-100:]):.3f}, {seconds:.0f} s", flush=True
            )
    return fold(variables)


def main() -> None:
    """Trains with a fixed seed and writes the SavedModel."""
    parser = argparse.ArgumentParser(description="Train and export the digit detector.")
    parser.add_argument("--output", type=Path, required=True, help="new SavedModel directory")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and pages")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    training_digits, _ = split_digits()
    export_model(train(training_digits, arguments.steps, arguments.seed), arguments.output)
    print(f"model written to {arguments.output}")


if __name__ == "__main__":
    main()
