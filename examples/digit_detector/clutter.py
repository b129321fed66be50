"""Draws the parts of a page that are not digits.

Why it exists: a detector that has only seen clean pages calls every mark a digit, so pages carry
marks to be ignored. Soft clutter (gradients, blobs, noise) may lie anywhere, also under a digit.
Sharp clutter (rules, scribbles, lines of small text) must stay clear of the digits, because a
stroke through a digit can turn it into another digit and the ground truth would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Canvas = NDArray[np.float32]
Colour = NDArray[np.float32]
Rectangle = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom/right excluded
Mark = Callable[[np.random.Generator, ImageDraw.ImageDraw, Rectangle], None]

# There is on average one soft blob, and one sharp mark, for this many pixels of page.
BLOB_AREA = 25_000
MARK_AREA = 9_000
PLACING_ATTEMPTS = 12
LETTER_SHARE = 0.85


def overlaps(one: Rectangle, other: Rectangle, gap: int = 0) -> bool:
    """Whether two rectangles come closer than `gap` pixels to each other."""
    apart_vertically = one[2] + gap <= other[0] or other[2] + gap <= one[0]
    apart_horizontally = one[3] + gap <= other[1] or other[3] + gap <= one[1]
    return not (apart_vertically or apart_horizontally)


def free_spot(
    rng: np.random.Generator,
    page: tuple[int, int],
    size: tuple[int, int],
    taken: list[Rectangle],
    gap: int,
) -> Rectangle | None:
    """Looks for a place of `size` (height, width) clear of `taken`; None if none turns up."""
    if size[0] > page[0] or size[1] > page[1]:
        return None
    for _ in range(PLACING_ATTEMPTS):
        top = int(rng.integers(0, page[0] - size[0] + 1))
        left = int(rng.integers(0, page[1] - size[1] + 1))
        spot = (top, left, top + size[0], left + size[1])
        if not any(overlaps(spot, other, gap) for other in taken):
            return spot
    return None


def blank_page(rng: np.random.Generator, page: tuple[int, int], colour: Colour) -> Canvas:
    """Makes a float32 [height, width, 3] canvas of one colour with a linear change of light."""
    height, width = page
    angle = rng.uniform(0.0, 2.0 * np.pi)
    down = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    across = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    light = rng.uniform(0.0, 40.0) * (np.sin(angle) * down + np.cos(angle) * across)
    canvas: Canvas = (colour + light[:, :, None]).astype(np.float32)
    return canvas


def add_blobs(rng: np.random.Generator, canvas: Canvas) -> None:
    """Lightens or darkens soft round spots of the canvas, in place."""
    height, width = canvas.shape[:2]
    for _ in range(rng.poisson(height * width / BLOB_AREA)):
        radius = rng.uniform(10.0, 45.0)
        down = (np.arange(height, dtype=np.float32) - rng.uniform(0, height)) / radius
        across = (np.arange(width, dtype=np.float32) - rng.uniform(0, width)) / radius
        spot = np.exp(-(down[:, None] ** 2)) * np.exp(-(across[None, :] ** 2))
        canvas += (rng.uniform(-30.0, 30.0) * spot)[:, :, None].astype(np.float32)


def add_noise(rng: np.random.Generator, canvas: Canvas) -> None:
    """Adds pixel noise to the canvas, in place; the strength differs from page to page."""
    height, width = canvas.shape[:2]
    strength = np.float32(rng.uniform(0.0, 9.0))
    noise = rng.standard_normal((height, width, 1), dtype=np.float32)
    canvas += noise * strength


def add_sharp_marks(
    rng: np.random.Generator, canvas: Canvas, ink: Colour, taken: list[Rectangle]
) -> None:
    """Draws rules, scribbles, text and dots in `ink` clear of the `taken` places, in place."""
    height, width = canvas.shape[:2]
    layer = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(layer)
    places = list(taken)
    for _ in range(rng.poisson(height * width / MARK_AREA)):
        mark, size = _random_mark(rng, (height, width))
        spot = free_spot(rng, (height, width), size, places, gap=3)
        if spot is not None:
            mark(rng, pen, spot)
            places.append(spot)
    opacity = np.asarray(layer, dtype=np.float32)[:, :, None] / np.float32(255.0)
    canvas += opacity * (ink - canvas)


def _random_mark(rng: np.random.Generator, page: tuple[int, int]) -> tuple[Mark, tuple[int, int]]:
    """Chooses a kind of mark and the (height, width) of the place it needs."""
    side = int(rng.integers(14, 56))
    choices: list[tuple[Mark, tuple[int, int]]] = [
        (_draw_scribble, (side, int(side * rng.uniform(0.6, 1.6)))),
        (_draw_text, (int(rng.integers(6, 14)), int(rng.integers(40, 130)))),
        (_draw_rule, (5, int(page[1] * rng.uniform(0.3, 1.0)))),
        (_draw_rule, (int(page[0] * rng.uniform(0.4, 1.0)), 5)),
        (_draw_speckles, (side, side)),
        (_draw_frame, (side, int(side * rng.uniform(1.2, 2.5)))),
        (_draw_disc, (side // 2, side // 2)),
    ]
    return choices[int(rng.integers(len(choices)))]


def _opacity(rng: np.random.Generator) -> int:
    return int(rng.integers(90, 256))


def _points(rng: np.random.Generator, place: Rectangle, count: int) -> list[tuple[int, int]]:
    """Random (x, y) points in a place, as Pillow wants them."""
    down = rng.integers(place[0] + 1, place[2] - 1, count)
    across = rng.integers(place[1] + 1, place[3] - 1, count)
    return [(int(x), int(y)) for x, y in zip(across, down, strict=True)]


def _draw_scribble(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    points = _points(rng, place, int(rng.integers(4, 9)))
    pen.line(points, fill=_opacity(rng), width=int(rng.integers(1, 4)))


def _draw_text(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    """Draws short strokes side by side, which at this size look like a printed line."""
    top, left, bottom, right = place
    opacity = _opacity(rng)
    step = max(4, (bottom - top) * 2 // 3)
    for start in range(left, right - step, step):
        if rng.uniform() < LETTER_SHARE:  # the rest are the spaces between words
            letter = (top, start, bottom, start + step)
            pen.line(_points(rng, letter, int(rng.integers(3, 5))), fill=opacity, width=1)


def _draw_rule(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    top, left, bottom, right = place
    width = int(rng.integers(1, 4))
    if bottom - top > right - left:
        pen.line([(left + 2, top), (left + 2, bottom)], fill=_opacity(rng), width=width)
    else:
        pen.line([(left, top + 2), (right, top + 2)], fill=_opacity(rng), width=width)


def _draw_speckles(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    for x, y in _points(rng, place, int(rng.integers(5, 25))):
        size = int(rng.integers(0, 3))
        pen.ellipse([x - size, y - size, x, y], fill=_opacity(rng))


def _draw_frame(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    top, left, bottom, right = place
    width = int(rng.integers(1, 3))
    pen.rectangle([left, top, right - 1, bottom - 1], outline=_opacity(rng), width=width)


def _draw_disc(rng: np.random.Generator, pen: ImageDraw.ImageDraw, place: Rectangle) -> None:
    top, left, bottom, right = place
    pen.ellipse([left, top, right - 1, bottom - 1], fill=_opacity(rng))
