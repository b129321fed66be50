"""Scores a detector against the ground truth, however the detector is run.

Why it exists: the figures of this example must mean the same in local TensorFlow and anywhere else,
so everything here is plain numpy and the detector is just a function.

Rules: a digit counts as found when a detection at or above the score threshold has its class and
overlaps it by at least half (intersection over union). Detections choose in order of score, and a
digit is chosen once; every detection left without a digit is a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from boxes import Boxes, overlap
from numpy.typing import NDArray
from pages import Page

SCORE_THRESHOLD = 0.6
MATCH_OVERLAP = 0.5

# uint8 [1, height, width, 3] -> the model's outputs by name, arrays with a batch dimension of 1.
Predict = Callable[[NDArray[np.uint8]], Mapping[str, Any]]


@dataclass(frozen=True)
class Detections:
    """Boxes float32 [n, 4] as fractions, class ids int64 [n], scores float32 [n], best first."""

    boxes: Boxes
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Figures:
    """Counts over a number of pages."""

    pages: int
    digits: int
    found: int
    detections: int

    @property
    def found_percent(self) -> float:
        """Digits found, as a percentage of all digits."""
        return 100.0 * self.found / max(self.digits, 1)

    @property
    def false_alarms(self) -> int:
        """Detections that belong to no digit or name the wrong one."""
        return self.detections - self.found

    @property
    def false_alarm_percent(self) -> float:
        """False alarms, as a percentage of all detections."""
        return 100.0 * self.false_alarms / max(self.detections, 1)

    @property
    def false_alarms_per_hundred_digits(self) -> float:
        """False alarms, as a percentage of all digits."""
        return 100.0 * self.false_alarms / max(self.digits, 1)


def confident_detections(
    outputs: Mapping[str, Any], threshold: float = SCORE_THRESHOLD
) -> Detections:
    """Takes the detections at or above the threshold out of the model's outputs."""
    scores = np.asarray(outputs["detection_scores"], np.float32)[0]
    count = int(np.asarray(outputs["num_detections"])[0])
    chosen = np.flatnonzero(scores[:count] >= threshold)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    boxes = np.asarray(outputs["detection_boxes"], np.float32)[0]
    class_ids = np.asarray(outputs["detection_classes"])[0].astype(np.int64)
    return Detections(boxes[chosen], class_ids[chosen], scores[chosen])


def count_found(page: Page, detections: Detections) -> int:
    """Counts the digits of a page that these detections find."""
    overlaps = overlap(detections.boxes, page.boxes)
    free = np.ones(len(page.class_ids), bool)
    for row, class_id in zip(overlaps, detections.class_ids, strict=True):
        suits = free & (page.class_ids == class_id) & (row >= MATCH_OVERLAP)
        if suits.any():
            free[np.where(suits, row, -1.0).argmax()] = False
    return int(np.count_nonzero(~free))


def evaluate(
    predict: Predict, pages: Iterable[Page], threshold: float = SCORE_THRESHOLD
) -> Figures:
    """Runs the detector on every page and adds up the figures."""
    page_count = digits = found = detected = 0
    for page in pages:
        detections = confident_detections(predict(page.image[None]), threshold)
        page_count += 1
        digits += len(page.class_ids)
        found += count_found(page, detections)
        detected += len(detections.scores)
    return Figures(page_count, digits, found, detected)
