"""Makes cluttered pages of handwritten digits together with their ground truth.

Why it exists: training, evaluation and the tests must agree on what a page is and on which digits
may be trained on. `split_digits` is the only place that decides the latter: of scikit-learn's 1797
digits a fixed fifth is held out, and `train.py` never reads it.

Rules: the same digits, layout and seed give the same page. Class id = digit + 1, because the
object detection interface this example follows reserves id 0 for the background.

    python pages.py --output page.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from clutter import (
    Canvas,
    Colour,
    Rectangle,
    add_blobs,
    add_noise,
    add_sharp_marks,
    blank_page,
    free_spot,
)
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

CLASS_ID_OFFSET = 1
CLASS_COUNT = 10

SPLIT_SEED = 1797
HELD_OUT_SHARE = 0.2

# Scaled-up digits vary between these heights, in pixels of the whole 8x8 cell.
SMALLEST_DIGIT = 22
LARGEST_DIGIT = 60
# Pixels at least this opaque count as ink when the ground truth box is drawn around a digit.
INK_OPACITY = 0.3
DIGIT_GAP = 4
DARK_INK_SHARE = 0.6

# The page that is committed as page.png.
DEMONSTRATION_SEED = 13


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: glyphs float32 [n, 8, 8] in 0..1, labels int64 [n] in 0..9.

    `indices` int64 [n] are the positions in scikit-learn's data set.
    """

    glyphs: NDArray[np.float32]
    labels: NDArray[np.int64]
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """How big pages are (pixels, both ends included), how full, and how tilted their digits."""

    heights: tuple[int, int] = (240, 560)
    widths: tuple[int, int] = (240, 640)
    digits: tuple[int, int] = (5, 18)
    tilt_degrees: float = 4.0


@dataclass(frozen=True)
class Page:
    """A page and its ground truth.

    image: uint8 [height, width, 3], RGB.
    boxes: float32 [n, 4], (ymin, xmin, ymax, xmax) as fractions 0..1 of the page.
    class_ids: int64 [n], digit + 1.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]


def split_digits() -> tuple[Digits, Digits]:
    """Returns (training digits, held-out digits); always the same split, with nothing shared."""
    data = load_digits()
    glyphs = (data.images / 16.0).astype(np.float32)
    labels = data.target.astype(np.int64)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    held_out_count = round(len(labels) * HELD_OUT_SHARE)
    held_out, training = np.sort(order[:held_out_count]), np.sort(order[held_out_count:])
    return (
        Digits(glyphs[training], labels[training], training),
        Digits(glyphs[held_out], labels[held_out], held_out),
    )


def make_page(digits: Digits, layout: Layout, seed: int | tuple[int, ...]) -> Page:
    """Makes the page that belongs to this seed, from these digits only."""
    rng = np.random.default_rng(seed)
    height = int(rng.integers(layout.heights[0], layout.heights[1] + 1))
    width = int(rng.integers(layout.widths[0], layout.widths[1] + 1))
    paper, ink = _colours(rng)
    canvas = blank_page(rng, (height, width), paper)
    add_blobs(rng, canvas)
    taken: list[Rectangle] = []
    class_ids: list[int] = []
    for _ in range(int(rng.integers(layout.digits[0], layout.digits[1] + 1))):
        chosen = int(rng.integers(len(digits.labels)))
        opacity = _scale_up(rng, digits.glyphs[chosen], layout.tilt_degrees)
        spot = free_spot(rng, (height, width), opacity.shape, taken, DIGIT_GAP)
        if spot is not None:
            _ink_digit(rng, canvas, spot, opacity, ink)
            taken.append(spot)
            class_ids.append(int(digits.labels[chosen]) + CLASS_ID_OFFSET)
    add_sharp_marks(rng, canvas, ink, taken)
    add_noise(rng, canvas)
    extent = np.array([height, width, height, width], np.float32)
    boxes = np.array(taken, np.float32).reshape(-1, 4) / extent
    image = np.clip(canvas, 0.0, 255.0).astype(np.uint8)
    return Page(image, boxes, np.array(class_ids, np.int64))


def evaluation_pages(count: int, seed: int) -> list[Page]:
    """Makes `count` pages of held-out digits; page i depends on (seed, i) alone."""
    _, held_out = split_digits()
    return [make_page(held_out, Layout(), (seed, index)) for index in range(count)]


def demonstration_page(seed: int = DEMONSTRATION_SEED) -> Page:
    """Makes one 480x640 page with 16 held-out digits, or fewer where they do not fit."""
    _, held_out = split_digits()
    return make_page(held_out, Layout((480, 480), (640, 640), (16, 16)), seed)


def _colours(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Chooses the colours of paper and ink: either may be the darker one, never too close."""
    contrast = rng.uniform(85.0, 190.0)
    darker = rng.uniform(15.0, 240.0 - contrast)
    dark, light = darker, darker + contrast
    tints = rng.uniform(-15.0, 15.0, (2, 3))
    paper, ink = (light, dark) if rng.uniform() < DARK_INK_SHARE else (dark, light)
    return (paper + tints[0]).astype(np.float32), (ink + tints[1]).astype(np.float32)


def _scale_up(
    rng: np.random.Generator, glyph: NDArray[np.float32], tilt_degrees: float
) -> NDArray[np.float32]:
    """Scales an 8x8 glyph up at random; returns its opacity 0..1, cut to the edges of the ink."""
    height = int(rng.integers(SMALLEST_DIGIT, LARGEST_DIGIT + 1))
    width = round(height * rng.uniform(0.85, 1.15))
    framed = np.pad(glyph, 1)  # room for the tilt, and for strokes to fade out
    picture = Image.fromarray((framed * 255.0).astype(np.uint8))
    picture = picture.resize((width * 10 // 8, height * 10 // 8), Image.Resampling.BICUBIC)
    tilt = rng.uniform(-tilt_degrees, tilt_degrees)
    picture = picture.rotate(tilt, Image.Resampling.BILINEAR)
    opacity = np.asarray(picture, dtype=np.float32) / np.float32(255.0)
    inked = opacity >= INK_OPACITY
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _ink_digit(
    rng: np.random.Generator,
    canvas: Canvas,
    spot: Rectangle,
    opacity: NDArray[np.float32],
    ink: Colour,
) -> None:
    """Blends a digit into its spot of the canvas, in place, with slightly varying strength."""
    region = canvas[spot[0] : spot[2], spot[1] : spot[3]]
    strength = np.float32(rng.uniform(0.85, 1.0))
    region += (opacity * strength)[:, :, None] * (ink - region)


def main() -> None:
    """Writes a demonstration page of held-out digits as a PNG."""
    parser = argparse.ArgumentParser(description="Make a page of held-out handwritten digits.")
    parser.add_argument("--output", type=Path, required=True, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=DEMONSTRATION_SEED, help="which page")
    arguments = parser.parse_args()
    page = demonstration_page(arguments.seed)
    Image.fromarray(page.image).save(arguments.output, optimize=True)
    print(f"{arguments.output}: {len(page.class_ids)} digits")


if __name__ == "__main__":
    main()
