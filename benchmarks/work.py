"""What is asked of every contestant: models and the feeds for them. Pure but for the arrays."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

ANSWER_BYTES = 16
FEED, FETCH = "x", "y"


@dataclass(frozen=True)
class Work:
    """A model, and the shape of its one float32 feed."""

    model: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the feed."""
        return int(np.prod(self.shape)) * 4

    @functools.cache  # noqa: B019 (works live as long as the process)
    def feed(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The feed, the same each time."""
        return np.random.default_rng(1).random(self.shape, np.float32)


# Sums, whose answer is 16 bytes: what is measured is the way there.
SIZES = (64, 1_024, 64_000, 600_000, 4_000_000, 19_000_000, 100_000_000, 1_000_000_000)
MODELS = (1, 10, 100)
"""How many models a caller goes round."""
WORKS = {
    "tiny": Work("tiny", (1, 16)),
    "large": Work("sum", (4_750_000,)),
    "mobilenet": Work("mobilenet", (1, 224, 224, 3)),
    "resnet": Work("resnet", (1, 224, 224, 3)),
    "big": Work("big", (1, 5_000)),
    **{f"payload-{size}": Work("sum", (size // 4,)) for size in SIZES},
    **{f"small-{number}": Work(f"small-{number}", (1, 16)) for number in range(max(MODELS))},
}
