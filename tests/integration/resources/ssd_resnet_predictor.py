#!/usr/bin/env python
# ruff: noqa
"""Object detection with SSD-ResNet50 on Amazon Elastic Inference.

    python ssd_resnet_predictor.py --image dogs.jpg

Written as such scripts were in 2019, for Python 2.7 and 3.6 and TensorFlow 1.12: it is never to be
modernised, because running it unchanged is what it is here for.
"""

from __future__ import absolute_import
from __future__ import division
from __future__ import print_function

import time

import numpy as np
import tensorflow as tf
from tensorflow.contrib.ei.python.predictor.ei_predictor import EIPredictor

tf.app.flags.DEFINE_string("image", "", "path to an image in JPEG format")
tf.app.flags.DEFINE_string("model_dir", "/tmp/ssd_resnet50_v1_coco/1/", "path to the SavedModel")
tf.app.flags.DEFINE_integer("loops", 20, "how many times to run the model")
FLAGS = tf.app.flags.FLAGS

if FLAGS.image == "":
    print("Supply an image using '--image [path/to/image]'")
    exit(1)


def read_image(path):
    with tf.Session(graph=tf.Graph()) as session:
        contents = tf.read_file(path)
        return session.run(tf.image.decode_jpeg(contents, channels=3))


def show(title, pred):
    num_detections = int(pred["num_detections"])
    print("%s: %d detections" % (title, num_detections))
    classes = np.squeeze(pred["detection_classes"]).astype(np.int)
    scores = np.squeeze(pred["detection_scores"])
    for i in range(num_detections):
        box = ",".join("%.6f" % np.asscalar(v) for v in pred["detection_boxes"][0][i])
        print("  class %d score %.6f box %s" % (classes[i], scores[i], box))


def time_loops(predictor, feed):
    pred = None
    for i in range(FLAGS.loops):
        start = time.time()
        pred = predictor(feed)
        print("Inference %d took %f seconds" % (i, time.time() - start))
    return pred


def main(_):
    img = np.expand_dims(read_image(FLAGS.image), axis=0)
    ssd_resnet_input = {"inputs": img}

    print("Running with the names of the input and the outputs")
    eia_predictor = EIPredictor(
        model_dir=FLAGS.model_dir,
        input_names={"inputs": "image_tensor:0"},
        output_names={
            "detection_boxes": "detection_boxes:0",
            "detection_classes": "detection_classes:0",
            "detection_scores": "detection_scores:0",
            "num_detections": "num_detections:0",
        },
        use_ei=True,
    )
    show("names", time_loops(eia_predictor, ssd_resnet_input))
    del eia_predictor

    print("Running with the default signature")
    eia_predictor = EIPredictor(FLAGS.model_dir)
    show("signature", time_loops(eia_predictor, ssd_resnet_input))


if __name__ == "__main__":
    tf.app.run()
