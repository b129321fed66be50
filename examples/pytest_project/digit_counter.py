"""The project: it counts the digits on a page, and knows nothing of tests or of where it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client_runtime import EIPredictor

MODEL = Path(__file__).parents[1] / "digit_detector" / "model" / "1"
CONFIDENT = 0.5


def count_digits(page: NDArray[np.uint8], model: Path = MODEL) -> int:
    """How many digits are on a page, a picture of shape (height, width, 3)."""
    with EIPredictor(str(model)) as predictor:
        found = predictor({"inputs": page[None]})
    return int((found["detection_scores"][0] > CONFIDENT).sum())
