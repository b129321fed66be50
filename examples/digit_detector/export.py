"""Writes trained weights as a SavedModel with the interface of TensorFlow's detection models.

Why it exists: programs written for the exports of TensorFlow's object detection interface expect a
TensorFlow 1 style graph with fixed tensor names, and that needs a graph and a session of its own.

Rules: signature `serving_default`, tag `serve`, input `inputs` (`image_tensor:0`, uint8
[1, height, width, 3]), outputs named like their tensors:

    detection_boxes:0    float32 [1, 50, 4]  (ymin, xmin, ymax, xmax), fractions of the page
    detection_scores:0   float32 [1, 50]     0..1, best first
    detection_classes:0  float32 [1, 50]     class id, digit + 1
    num_detections:0     float32 [1]         rows in use; the others are zeros
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from network import LAYERS, Convolve, Layer, Tensor, decode, default_boxes, predict
from numpy.typing import NDArray

MAX_DETECTIONS = 50
# Detections below this score are left out; users choose their own, higher threshold.
LOWEST_SCORE = 0.1
# Of boxes that overlap more than this only the one with the best score stays.
SUPPRESSION_OVERLAP = 0.4

Weights = dict[str, NDArray[np.float32]]  # "<layer>/kernel" and "<layer>/bias"


def export_model(weights: Weights, directory: Path) -> None:
    """Writes the SavedModel into `directory`, which must not exist yet."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        page = tf.compat.v1.placeholder(tf.uint8, [1, None, None, 3], name="image_tensor")
        variables = _create_variables()
        outputs = _detect(page, variables)
        for name, variable in variables.items():
            # Feeding the initial value keeps the weights out of the graph definition.
            start = variable.initializer.inputs[1]
            session.run(variable.initializer, {start: weights[name]})
        _save(session, page, outputs, directory)


def _create_variables() -> dict[str, Tensor]:
    """Creates the variables of the current graph, by weight name."""
    variables = {}
    for layer in LAYERS:
        for part, shape in (("kernel", layer.kernel_shape), ("bias", (layer.outputs,))):
            name = f"{layer.name}/{part}"
            variables[name] = tf.compat.v1.get_variable(
                name, shape, tf.float32, tf.compat.v1.zeros_initializer(), use_resource=True
            )
    return variables


def convolve_with(weights: dict[str, Tensor]) -> Convolve:
    """Convolutions with finished weights, the normalisation already folded into them."""

    def convolve(layer: Layer, features: Tensor) -> Tensor:
        kernel, bias = weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]
        result = tf.nn.conv2d(features, kernel, strides=layer.stride, padding="SAME") + bias
        return tf.nn.relu(result) if layer.hidden else result

    return convolve


def _detect(page: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds network and non-maximum suppression to the graph; returns the outputs by name."""
    logits, offsets = predict(page, convolve_with(weights))
    height, width = tf.shape(page)[1], tf.shape(page)[2]
    extent = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    boxes = decode(offsets[0], default_boxes(height, width)) / extent
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    digits = tf.nn.softmax(logits[0])[:, 1:]
    scores = tf.reduce_max(digits, axis=1)
    class_ids = tf.cast(tf.argmax(digits, axis=1) + 1, tf.float32)
    # Across classes: one mark on the page is one digit, whatever second reading it allows.
    kept = tf.image.non_max_suppression(
        boxes, scores, MAX_DETECTIONS, SUPPRESSION_OVERLAP, LOWEST_SCORE
    )
    count = tf.cast(tf.shape(kept)[0], tf.float32)
    return {
        "detection_boxes": _fill_up(tf.gather(boxes, kept), "detection_boxes"),
        "detection_scores": _fill_up(tf.gather(scores, kept), "detection_scores"),
        "detection_classes": _fill_up(tf.gather(class_ids, kept), "detection_classes"),
        "num_detections": tf.reshape(count, [1], name="num_detections"),
    }


def _fill_up(rows: Tensor, name: str) -> Tensor:
    """Appends zeros up to MAX_DETECTIONS rows and puts a batch dimension of 1 in front."""
    missing = MAX_DETECTIONS - tf.shape(rows)[0]
    rest = rows.shape[1:].as_list()
    padded = tf.pad(rows, [[0, missing]] + [[0, 0]] * len(rest))
    return tf.reshape(padded, [1, MAX_DETECTIONS, *rest], name=name)


def _save(session: Tensor, page: Tensor, outputs: dict[str, Tensor], directory: Path) -> None:
    """Writes the session's graph and variables with the signature."""
    v1 = tf.compat.v1.saved_model
    signature = v1.predict_signature_def(inputs={"inputs": page}, outputs=outputs)
    builder = v1.Builder(str(directory))
    builder.add_meta_graph_and_variables(
        session,
        [tf.saved_model.SERVING],
        signature_def_map={tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY: signature},
        strip_default_attrs=True,  # older TensorFlow does not know newer attributes
    )
    builder.save()
