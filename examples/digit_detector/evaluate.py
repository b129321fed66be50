"""Measures the exported detector in local TensorFlow on pages of digits it has never seen.

Why it exists: a demonstration that only looks right proves little. This command states how many
digits are found and how many detections are wrong, and fails when either misses its limit.

Rules: pages hold held-out digits only. `scoring.evaluate` does the counting and takes any function
that runs a model, so that a remote accelerator can be measured in the same way.

    python evaluate.py --pages 200 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pages import evaluation_pages
from scoring import SCORE_THRESHOLD, Figures, Predict, evaluate

MODEL = Path(__file__).parent / "model" / "1"

LEAST_FOUND_PERCENT = 95.0
MOST_FALSE_ALARM_PERCENT = 3.0


def load_predictor(directory: Path) -> Predict:
    """Loads the SavedModel in local TensorFlow; returns a function that runs its signature."""
    import tensorflow as tf  # only here, so that a remote evaluation needs no TensorFlow

    model = tf.saved_model.load(str(directory), tags=["serve"])

    def predict(image: NDArray[np.uint8]) -> dict[str, Any]:
        # By way of the model each time: its signature alone does not keep its variables alive.
        outputs = model.signatures["serving_default"](inputs=tf.constant(image))
        return {name: value.numpy() for name, value in outputs.items()}

    return predict


def good_enough(figures: Figures) -> bool:
    """Whether the figures keep both limits."""
    enough = figures.found_percent >= LEAST_FOUND_PERCENT
    return enough and figures.false_alarm_percent <= MOST_FALSE_ALARM_PERCENT


def report(figures: Figures) -> str:
    """The figures and their limits as a few lines of text."""
    return "\n".join(
        [
            f"pages:        {figures.pages}",
            f"digits:       {figures.digits}",
            f"detections:   {figures.detections} with score >= {SCORE_THRESHOLD}",
            f"found:        {figures.found_percent:.2f} % (at least {LEAST_FOUND_PERCENT} %)",
            f"false alarms: {figures.false_alarm_percent:.2f} % of the detections"
            f" (at most {MOST_FALSE_ALARM_PERCENT} %),"
            f" {figures.false_alarms_per_hundred_digits:.2f} % of the digits",
        ]
    )


def main() -> int:
    """Prints the figures; returns 0 when they keep their limits and 1 otherwise."""
    parser = argparse.ArgumentParser(description="Evaluate the detector on held-out digits.")
    parser.add_argument("--model", type=Path, default=MODEL, help="SavedModel directory")
    parser.add_argument("--pages", type=int, default=200, help="how many pages to make")
    parser.add_argument("--seed", type=int, default=1, help="which pages to make")
    arguments = parser.parse_args()
    pages = evaluation_pages(arguments.pages, arguments.seed)
    figures = evaluate(load_predictor(arguments.model), pages)
    print(report(figures))
    return 0 if good_enough(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
