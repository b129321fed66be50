"""Draws detections on a page.

Why it exists: a picture with boxes shows at a glance what the detector does; this is the example's
visible result. Takes what `scoring.confident_detections` returns, so drawing needs no TensorFlow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pages import CLASS_ID_OFFSET
from PIL import Image, ImageDraw
from scoring import Detections

BOX_COLOUR = (220, 30, 30)
TEXT_COLOUR = (255, 255, 255)


def draw_detections(page: NDArray[np.uint8], detections: Detections) -> Image.Image:
    """Returns the page (uint8 [height, width, 3]) with a box, digit and score per detection."""
    picture = Image.fromarray(page)
    pen = ImageDraw.Draw(picture)
    height, width = page.shape[:2]
    extent = np.array([height, width, height, width], np.float32)
    for box, class_id, score in zip(
        detections.boxes * extent, detections.class_ids, detections.scores, strict=True
    ):
        top, left, bottom, right = (round(float(edge)) for edge in box)
        pen.rectangle([left, top, right, bottom], outline=BOX_COLOUR, width=2)
        _write_label(pen, (left, top), f"{class_id - CLASS_ID_OFFSET}: {score:.0%}")
    return picture


def write_png(page: NDArray[np.uint8], detections: Detections, path: Path) -> None:
    """Draws the detections on the page and writes the result as a PNG.

    Raises OSError when the file cannot be written.
    """
    draw_detections(page, detections).save(path, format="PNG")


def _write_label(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    """Writes text above the top left corner of a box, or inside the box at the page's edge."""
    left, top, right, bottom = pen.textbbox((0, 0), text)
    label_height = bottom - top + 4
    across, down = corner
    start = down - label_height if down >= label_height else down
    background = [across, start, across + right - left + 4, start + label_height]
    pen.rectangle(background, fill=BOX_COLOUR)
    pen.text((across + 2 - left, start + 2 - top), text, fill=TEXT_COLOUR)
