"""Box arithmetic in numpy: overlap, and what each default box should learn about a page.

Why it exists: training and scoring must mean the same thing by "these boxes overlap".
Rules: boxes are float32 [n, 4] as (ymin, xmin, ymax, xmax), all in one unit, pixels or fractions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]

# Offsets are divided by these so that centre and size errors weigh about the same in the loss.
CENTRE_SCALE = 0.1
SIZE_SCALE = 0.2

# A default box learns a digit above the first overlap and the background below the second.
DIGIT_OVERLAP = 0.45
BACKGROUND_OVERLAP = 0.3

BACKGROUND = 0
IGNORED = -1


def overlap(some: Boxes, others: Boxes) -> Boxes:
    """Intersection over union of every pair: float32 [len(some), len(others)]."""
    first, second = some[:, None, :], others[None, :, :]
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    areas = np.prod(first[..., 2:] - first[..., :2], axis=-1)
    other_areas = np.prod(second[..., 2:] - second[..., :2], axis=-1)
    ratio: Boxes = shared / np.maximum(areas + other_areas - shared, 1e-9)
    return ratio


def encode(boxes: Boxes, default_boxes: Boxes) -> Boxes:
    """Offsets float32 [n, 4] (y, x, log height, log width) that turn each default box into a box.

    `network.decode` is the inverse.
    """
    size = default_boxes[:, 2:] - default_boxes[:, :2]
    box_size = boxes[:, 2:] - boxes[:, :2]
    centre = (default_boxes[:, :2] + default_boxes[:, 2:]) / 2.0
    box_centre = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    move = (box_centre - centre) / size / CENTRE_SCALE
    grow = np.log(box_size / size) / SIZE_SCALE
    return np.concatenate([move, grow], axis=1).astype(np.float32)


def assign(
    boxes: Boxes, class_ids: NDArray[np.int64], default_boxes: Boxes
) -> tuple[NDArray[np.int64], Boxes]:
    """Says what each default box should predict on a page with these boxes (pixels).

    Returns class ids int64 [d], which may also be BACKGROUND or IGNORED, and offsets float32
    [d, 4], which mean something only where the class id is a digit's.
    """
    if len(boxes) == 0:
        return np.zeros(len(default_boxes), np.int64), np.zeros_like(default_boxes)
    overlaps = overlap(default_boxes, boxes)
    nearest, best = overlaps.argmax(axis=1), overlaps.max(axis=1)
    # Every digit gets at least one default box, however badly it fits.
    fittest = overlaps.argmax(axis=0)
    nearest[fittest], best[fittest] = np.arange(len(boxes)), 1.0
    targets = np.where(best >= DIGIT_OVERLAP, class_ids[nearest], IGNORED)
    targets = np.where(best < BACKGROUND_OVERLAP, BACKGROUND, targets)
    return targets, encode(boxes[nearest], default_boxes)
