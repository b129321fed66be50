"""The digit detector: honest split, reproducible pages, sound scoring, and a model that works."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from boxes import assign, encode, overlap
from drawing import write_png
from evaluate import MODEL, good_enough, load_predictor
from numpy.typing import NDArray
from pages import (
    CLASS_ID_OFFSET,
    Layout,
    Page,
    demonstration_page,
    evaluation_pages,
    make_page,
    split_digits,
)
from PIL import Image
from scoring import Figures, Predict, confident_detections, evaluate

EXAMPLE = MODEL.parents[1]
LARGEST_EXAMPLE_BYTES = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def predictor() -> Predict:
    """The committed model in local TensorFlow."""
    return load_predictor(MODEL)


def replay(*rows: tuple[tuple[float, float, float, float], int, float]) -> Predict:
    """A detector that answers every page with these (box, class id, score) rows."""
    outputs = {
        "detection_boxes": np.array([[box for box, _, _ in rows]], np.float32).reshape(1, -1, 4),
        "detection_classes": np.array([[class_id for _, class_id, _ in rows]], np.float32),
        "detection_scores": np.array([[score for _, _, score in rows]], np.float32),
        "num_detections": np.array([len(rows)], np.float32),
    }

    def predict(_image: NDArray[np.uint8]) -> Mapping[str, Any]:
        return outputs

    return predict


def page_with_one_three() -> Page:
    """An empty page on which the ground truth has one 3 in the upper left quarter."""
    boxes = np.array([[0.0, 0.0, 0.5, 0.5]], np.float32)
    class_ids = np.array([3 + CLASS_ID_OFFSET], np.int64)
    return Page(np.zeros((64, 64, 3), np.uint8), boxes, class_ids)


def test_training_and_held_out_digits_share_nothing() -> None:
    """No digit is in both parts, and together they are the whole data set."""
    training, held_out = split_digits()
    assert not set(training.indices) & set(held_out.indices)
    assert len(training.indices) + len(held_out.indices) == 1797
    assert len(held_out.indices) == 359


def test_the_split_never_changes() -> None:
    """The committed model was trained with exactly this split."""
    _, held_out = split_digits()
    assert held_out.indices[:8].tolist() == [4, 5, 6, 11, 23, 25, 26, 33]


def test_evaluation_pages_are_made_from_held_out_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages stay the same when every training glyph is wiped out."""
    before = evaluation_pages(2, seed=5)
    training, held_out = split_digits()
    training.glyphs[:] = 0.0
    monkeypatch.setattr("pages.split_digits", lambda: (training, held_out))
    for one, other in zip(before, evaluation_pages(2, seed=5), strict=True):
        np.testing.assert_array_equal(one.image, other.image)


def test_the_same_seed_gives_the_same_page() -> None:
    """Image and ground truth depend on digits, layout and seed alone."""
    digits, _ = split_digits()
    one, other = (make_page(digits, Layout(), seed=11) for _ in range(2))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.boxes, other.boxes)
    np.testing.assert_array_equal(one.class_ids, other.class_ids)


def test_another_seed_gives_another_page() -> None:
    """Pages of one size but different seeds differ."""
    digits, _ = split_digits()
    layout = Layout((100, 100), (100, 100))
    one, other = (make_page(digits, layout, seed) for seed in (1, 2))
    assert (one.image != other.image).any()


def test_digits_do_not_overlap() -> None:
    """Each ground truth box overlaps only itself and lies on the page."""
    for page in evaluation_pages(5, seed=3):
        np.testing.assert_allclose(overlap(page.boxes, page.boxes), np.eye(len(page.boxes)), 1e-5)
        assert page.boxes.min() >= 0.0
        assert page.boxes.max() <= 1.0


def test_every_digit_teaches_some_default_box() -> None:
    """Even a digit that fits no default box is assigned to the nearest one."""
    defaults = np.array([[0, 0, 20, 20], [40, 40, 60, 60]], np.float32)
    boxes = np.array([[42, 42, 46, 46]], np.float32)
    targets, offsets = assign(boxes, np.array([7], np.int64), defaults)
    assert targets.tolist() == [0, 7]
    np.testing.assert_allclose(offsets[1], encode(boxes, defaults[1:])[0])


THREE = ((0.0, 0.0, 0.5, 0.5), 3 + CLASS_ID_OFFSET)


@pytest.mark.parametrize(
    ("rows", "found", "false_alarms"),
    [
        pytest.param([], 0, 0, id="nothing detected"),
        pytest.param([(*THREE, 0.9)], 1, 0, id="found"),
        pytest.param([(*THREE, 0.3)], 0, 0, id="score too low"),
        pytest.param([(*THREE, 0.9), (*THREE, 0.8)], 1, 1, id="found twice"),
        pytest.param([(THREE[0], 9, 0.9)], 0, 1, id="wrong class"),
        pytest.param([((0.0, 0.0, 0.5, 0.2), THREE[1], 0.9)], 0, 1, id="too little overlap"),
    ],
)
def test_scoring(
    rows: list[tuple[tuple[float, float, float, float], int, float]],
    found: int,
    false_alarms: int,
) -> None:
    """A digit is found once, by a confident detection with its class and enough overlap."""
    figures = evaluate(replay(*rows), [page_with_one_three()])
    assert (figures.digits, figures.found, figures.false_alarms) == (1, found, false_alarms)


@pytest.mark.parametrize(
    ("found", "detections", "enough"),
    [(950, 960, True), (949, 949, False), (970, 1000, True), (970, 1001, False)],
)
def test_limits(found: int, detections: int, enough: bool) -> None:
    """95 % found and 3 % false alarms are just good enough."""
    assert good_enough(Figures(10, 1000, found, detections)) is enough


def test_the_model_has_the_detection_interface() -> None:
    """A TensorFlow 1 session finds the documented tensors behind the signature."""
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(MODEL))
    signature = meta.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    described = {
        key: (info.name, info.dtype, [size.size for size in info.tensor_shape.dim])
        for key, info in [*signature.inputs.items(), *signature.outputs.items()]
    }
    float32 = int(tf.float32.as_datatype_enum)
    assert described == {
        "inputs": ("image_tensor:0", int(tf.uint8.as_datatype_enum), [1, -1, -1, 3]),
        "detection_boxes": ("detection_boxes:0", float32, [1, 50, 4]),
        "detection_scores": ("detection_scores:0", float32, [1, 50]),
        "detection_classes": ("detection_classes:0", float32, [1, 50]),
        "num_detections": ("num_detections:0", float32, [1]),
    }


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (97, 203), (240, 640)])
def test_any_page_size(predictor: Predict, height: int, width: int) -> None:
    """Rows beyond num_detections are zeros, whatever the size of the page."""
    page = np.random.default_rng(1).integers(0, 256, (1, height, width, 3), np.uint8)
    outputs = predictor(page)
    count = int(outputs["num_detections"][0])
    assert outputs["detection_boxes"].shape == (1, 50, 4)
    assert not outputs["detection_scores"][0, count:].any()
    assert not outputs["detection_boxes"][0, count:].any()


def test_the_model_finds_held_out_digits(predictor: Predict) -> None:
    """The committed model keeps both limits on pages of digits it was not trained on."""
    figures = evaluate(predictor, evaluation_pages(30, seed=20))
    assert figures.digits > 200
    assert good_enough(figures), figures


def test_drawing_marks_the_detections(predictor: Predict, tmp_path: Path) -> None:
    """The PNG has the size of the page and differs from it where boxes are drawn."""
    page = demonstration_page().image
    write_png(page, confident_detections(predictor(page[None])), tmp_path / "drawn.png")
    drawn = np.asarray(Image.open(tmp_path / "drawn.png"))
    assert drawn.shape == page.shape
    assert (drawn != page).any()


def test_the_example_stays_small() -> None:
    """The whole directory, model and picture included, is at most 2 MB."""
    files = [path for path in EXAMPLE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) <= LARGEST_EXAMPLE_BYTES
