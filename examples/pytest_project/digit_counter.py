"""The project: it counts the digits on a page, and knows nothing of tests or of where it runs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accel_protocol.errors import UnavailableError
from client_runtime import EIPredictor

MODEL = Path(__file__).parents[1] / "digit_detector" / "model" / "1"
CONFIDENT = 0.5
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.1


class CannotCountError(Exception):
    """The page cannot be counted now; the message is for whoever uses the program."""


class DigitCounter:
    """Counts digits with one predictor, and comes through what an accelerator may do meanwhile.

    Args:
        accelerator_id: which accelerator; by default whichever is free.
        patience: seconds that one attempt may take.
    """

    def __init__(
        self, model: Path = MODEL, accelerator_id: str | None = None, patience: float = 60.0
    ) -> None:
        self._predictor = EIPredictor(str(model), accelerator_id=accelerator_id)
        self._patience = patience

    def count(self, page: NDArray[np.uint8]) -> int:
        """How many digits are on a page, a picture of shape (height, width, 3).

        Counting a page twice does no harm, so it is tried again whatever was lost.

        Raises:
            CannotCountError: no attempt had an answer.
        """
        why = ""
        for attempt in range(ATTEMPTS):
            try:
                found = self._predictor({"inputs": page[None]}, timeout=self._patience)
                return int((found["detection_scores"][0] > CONFIDENT).sum())
            except UnavailableError as error:
                why = error.message
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        raise CannotCountError(f"The page cannot be counted now, please come back later: {why}")

    def close(self) -> None:
        """End the connection."""
        self._predictor.close()

    def __enter__(self) -> DigitCounter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def count_digits(page: NDArray[np.uint8], accelerator_id: str | None = None) -> int:
    """How many digits are on one page."""
    with DigitCounter(accelerator_id=accelerator_id) as counter:
        return counter.count(page)
