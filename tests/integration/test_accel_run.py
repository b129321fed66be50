"""A script of 2019, unchanged, on an accelerator of today; and TensorFlow 1 as it knew it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, Daemon, environment, patience
from tests.integration.conftest import local_answer, tf

SEED = Path(__file__).parent / "resources" / "ssd_resnet_predictor.py"
PAGE = ROOT / "examples" / "digit_detector" / "page.png"
ACCEL = [sys.executable, "-c", "from client_runtime.cli.main import main; main()"]


def accel_run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`accel run WORDS` as a client in `home`."""
    return subprocess.run(
        [*ACCEL, "run", *words],
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=patience(180),
    )


@pytest.fixture
def jpeg(tmp_path: Path) -> Path:
    """The example's page as a JPEG."""
    pixels = tf.io.decode_png(PAGE.read_bytes(), channels=3)
    path = tmp_path / "page.jpg"
    path.write_bytes(tf.io.encode_jpeg(pixels, quality=95).numpy())
    return path


def detections(output: str, title: str) -> tuple[int, list[list[float]]]:
    """What the script printed under a title: how many, and class, score and box of each."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{title}: "))
    count = int(lines[start].split()[1])
    rows = lines[start + 1 : start + 1 + count]
    return count, [[float(n) for n in re.findall(r"[-\d.]+", row)] for row in rows]


def expected_detections(model: Path, jpeg: Path) -> tuple[int, list[list[float]]]:
    """The same from TensorFlow itself."""
    image = tf.io.decode_jpeg(jpeg.read_bytes(), channels=3).numpy()[None]
    answer = local_answer(model, {"inputs": image})
    count = int(answer["num_detections"][0])
    columns = [
        answer["detection_classes"][0][:, None],
        answer["detection_scores"][0][:, None],
        answer["detection_boxes"][0],
    ]
    return count, np.concatenate(columns, axis=1)[:count].tolist()


def test_script_of_2019_runs_unchanged(
    daemon: Daemon, detector: Path, jpeg: Path, tmp_path: Path
) -> None:
    """AWS's detection script finds what TensorFlow finds, by names and by signature."""
    model = tmp_path / "ssd_resnet50_v1_coco" / "1"
    model.parent.mkdir()
    model.symlink_to(detector)

    done = accel_run(daemon.home, "--", str(SEED), f"--image={jpeg}", "--model_dir", f"{model}/")

    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^Inference \d+ took [\d.]+ seconds$", done.stdout, re.M)) == 40
    count, rows = expected_detections(detector, jpeg)
    assert count > 3
    for title in ("names", "signature"):
        found_count, found = detections(done.stdout, title)
        assert found_count == count
        np.testing.assert_allclose(found, rows, rtol=1e-4, atol=1e-5)


VERSION_1 = """
from __future__ import print_function
import sys
import numpy as np
import tensorflow as tf
import tensorflow.gfile
import tensorflow.train as train
from tensorflow.python.framework import graph_util
from tensorflow.python.framework.ops import Tensor as OldTensor
from tensorflow.python.platform import gfile
from tensorflow.train import AdamOptimizer
import tensorflow.compat.v2 as v2

tf.app.flags.DEFINE_string("export_dir", None, "where to write")
tf.flags.DEFINE_integer("steps", 5, "of training")
FLAGS = tf.flags.FLAGS
tf.logging.set_verbosity(tf.logging.ERROR)
NAME = FLAGS.export_dir  # read before main, as many do

def train_and_save():
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    w = tf.get_variable("w", [3, 1], initializer=tf.zeros_initializer())
    y = tf.matmul(x, w, name="y")
    assert isinstance(y, tf.Tensor) and isinstance(y, v2.Tensor)
    loss = tf.reduce_sum(tf.square(y - 1.0), keep_dims=False)
    step = tf.train.GradientDescentOptimizer(0.01).minimize(loss)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(FLAGS.steps):
            session.run(step, {x: [[1.0, 2.0, 3.0]]})
        tf.saved_model.simple_save(session, NAME, {"x": x}, {"y": y})
        tf.train.Saver().save(session, NAME + "/checkpoint/model")
        frozen = tf.graph_util.convert_variables_to_constants(session, session.graph_def, ["y"])
        return frozen, session.run(y, {x: [[1.0, 1.0, 1.0]]})

def main(argv):
    assert not tf.executing_eagerly()
    frozen, answer = train_and_save()
    graph_def = tf.GraphDef()
    graph_def.ParseFromString(frozen.SerializeToString())
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        with tf.Session() as session:
            again = session.run("y:0", {"x:0": [[1.0, 1.0, 1.0]]})
    assert np.allclose(answer, again)
    with gfile.FastGFile(NAME + "/graph.pb", "wb") as f:
        f.write(frozen.SerializeToString())
    assert tf.gfile.Exists(NAME + "/graph.pb") and tensorflow.gfile.Exists is tf.gfile.Exists
    assert AdamOptimizer is tf.train.AdamOptimizer is train.AdamOptimizer
    assert tf.saved_model.loader.maybe_saved_model_directory(NAME)
    assert tf.image.resize_images and tf.read_file and tf.nn.max_pool and tf.py_func
    assert graph_util.convert_variables_to_constants is tf.graph_util.convert_variables_to_constants
    assert OldTensor is tf.Tensor and tf.contrib.util.make_tensor_proto([1.0]).float_val == [1.0]
    with tf.Graph().as_default(), tf.Session() as session:
        tf.saved_model.loader.load(session, [tf.saved_model.tag_constants.SERVING], NAME)
    from tensorflow.contrib.ei.python.predictor.ei_predictor import EIPredictor
    remote = EIPredictor(NAME)({"x": np.ones((1, 3))})["y"]
    assert np.allclose(remote, answer)
    print("version", tf.__version__, argv[1:], round(float(remote), 4))
    return 7

if __name__ == "__main__":
    tf.app.run()
"""


def test_version_1_as_it_was(daemon: Daemon, tmp_path: Path) -> None:
    """Flags, placeholders, training, freezing, saving, loading; main's answer is the status."""
    script = tmp_path / "version_1.py"
    script.write_text(VERSION_1)

    done = accel_run(daemon.home, str(script), f"--export_dir={tmp_path}/export", "rest")

    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith(f"version {tf.__version__} ['rest'] ")


@pytest.fixture
def contrib(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`import client_runtime.compat.contrib`, undone afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    from client_runtime.compat import contrib

    contrib.install()
    yield contrib
    for name in [name for name in sys.modules if name.startswith("tensorflow.contrib")]:
        del sys.modules[name]
    vars(tf).pop("contrib", None)


@pytest.mark.usefixtures("home", "contrib")
def test_contrib_in_an_ordinary_program(detector: Path) -> None:
    """The old path gives lenient results; TensorFlow stays version 2."""
    from tensorflow.contrib.ei.python.predictor.ei_predictor import EIPredictor

    answer = EIPredictor(detector)({"inputs": np.zeros((1, 64, 64, 3), np.uint8)})

    assert int(answer["num_detections"]) == 0
    assert tf.executing_eagerly()
    assert not hasattr(tf, "Session")


@pytest.mark.usefixtures("contrib")
def test_contrib_predictor_is_local(model: Path) -> None:
    """`tf.contrib.predictor.from_saved_model` runs the model in this process, without a daemon."""
    from tensorflow.contrib import predictor

    answer = predictor.from_saved_model(str(model))({"x": np.ones((2, 4), np.float32)})

    local = local_answer(model, {"x": np.ones((2, 4), np.float32)})
    np.testing.assert_allclose(answer["y"], local["y"], rtol=1e-5)
