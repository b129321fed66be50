"""What happens in this room, as those are told who count and measure.

An observer is called on the threads of requests: it must be quick and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class AcceleratorRun:
    """One run on an accelerator.

    Attributes:
        model, version, signature: what ran.
        accelerator: its id.
        seconds: as this process saw it.
        queue_seconds, load_seconds, compute_seconds: of these, what the accelerator spent waiting
            for a place to run, loading the graph first, and inside the engine.
    """

    model: str
    version: int
    signature: str
    accelerator: str
    seconds: float
    queue_seconds: float
    load_seconds: float
    compute_seconds: float


@dataclass(frozen=True)
class RequestRun:
    """The model's part of one request that was answered.

    Attributes:
        model, version, signature: what ran.
        api: "Predict", "Classify", "Regress", "MultiInference" or "SessionRun".
        seconds: from the request's tensors to the model's, queues included.
        examples: how many the request held; None where it holds tensors.
    """

    model: str
    version: int
    signature: str
    api: str
    seconds: float
    examples: int | None = None


@dataclass(frozen=True)
class WarmUp:
    """A version's warm-up ended.

    Attributes:
        model, version: of which version.
        folder: where it lies.
        status: "OK", or the name of the status that it failed with.
        records: that were read.
        seconds: all of it took.
    """

    model: str
    version: int
    folder: str
    status: str
    records: int
    seconds: float


@dataclass(frozen=True)
class BatchWait:
    """A task left the queue for a batch.

    Attributes:
        model, version, signature, thread_pool: where it waited.
        seconds: how long.
        rows: its size.
    """

    model: str
    version: int
    signature: str
    thread_pool: str
    seconds: float
    rows: int


@dataclass(frozen=True)
class BatchRun:
    """A batch was given to the model.

    Attributes:
        model, version, signature, thread_pool: for whom.
        tasks: how many requests, or parts of large ones, it holds.
        rows: of these tasks.
        padding: rows that were added to reach an allowed size.
    """

    model: str
    version: int
    signature: str
    thread_pool: str
    tasks: int
    rows: int
    padding: int


Event = AcceleratorRun | RequestRun | WarmUp | BatchWait | BatchRun
Observer = Callable[[Event], None]


def nobody(event: Event) -> None:
    """The observer that does nothing."""
