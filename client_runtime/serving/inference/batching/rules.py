"""What the batching parameters mean.

Pure.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.server_config_pb2 import BatchingParameters

_MAX_BATCH_SIZE = 1000
_MAX_ENQUEUED_BATCHES = 10
# As the original calls its threads where the file does not say.
_POOL = "batch_threads"


@dataclass(frozen=True)
class BatchRules:
    """How requests are put together.

    Attributes:
        most_rows_of_task: a request with more is refused.
        most_rows_of_batch: as many run together at most.
        timeout: seconds that a batch waits for more, from its first task on.
        most_batches: so many wait at most, the open one included.
        allowed: sizes that batches are padded to, rising; empty for any.
        pads_lengths: whether tensors of different shapes are padded to the largest.
        splits: whether a request may be spread over several batches.
    """

    most_rows_of_task: int = _MAX_BATCH_SIZE
    most_rows_of_batch: int = _MAX_BATCH_SIZE
    timeout: float = 0.0
    most_batches: int = _MAX_ENQUEUED_BATCHES
    allowed: tuple[int, ...] = ()
    pads_lengths: bool = False
    splits: bool = False

    def padded(self, rows: int) -> int:
        """The rows that so many are padded to."""
        return next((size for size in self.allowed if size >= rows), rows)


def rules_of(parameters: BatchingParameters) -> BatchRules:
    """The rules that parameters stand for.

    Raises:
        ServingError: they contradict each other, or a number is out of range.
    """
    most = _value(parameters, "max_batch_size", _MAX_BATCH_SIZE, 1)
    splits = parameters.enable_large_batch_splitting.value
    most_of_batch = _value(parameters, "max_execution_batch_size", most, 1) if splits else most
    if most_of_batch > most:
        raise invalid(
            f"max_execution_batch_size ({most_of_batch}) is larger than max_batch_size ({most})"
        )
    allowed = tuple(parameters.allowed_batch_sizes)
    _check_allowed(allowed, most_of_batch, splits)
    return BatchRules(
        most_rows_of_task=most,
        most_rows_of_batch=most_of_batch,
        timeout=_value(parameters, "batch_timeout_micros", 0, 0) / 1e6,
        most_batches=_value(parameters, "max_enqueued_batches", _MAX_ENQUEUED_BATCHES, 1),
        allowed=allowed,
        pads_lengths=parameters.pad_variable_length_inputs,
        splits=splits,
    )


def _check_allowed(allowed: tuple[int, ...], most: int, splits: bool) -> None:
    if not allowed:
        return
    if allowed[0] < 1 or any(left >= right for left, right in itertools.pairwise(allowed)):
        raise invalid(f"allowed_batch_sizes must be positive and ascending; got {list(allowed)}")
    if allowed[-1] != most:
        name = "max_execution_batch_size" if splits else "max_batch_size"
        raise invalid(
            f"Last entry in allowed_batch_sizes must match {name}; last entry was {allowed[-1]}; "
            f"expected {most}"
        )


def threads_of(parameters: BatchingParameters) -> int:
    """How many batches of all models run at one time.

    Raises:
        ServingError: none.
    """
    return _value(parameters, "num_batch_threads", os.cpu_count() or 1, 1)


def pool_name_of(parameters: BatchingParameters) -> str:
    """What metrics call the threads."""
    return parameters.thread_pool_name.value or _POOL


def _value(parameters: BatchingParameters, name: str, default: int, least: int) -> int:
    if not parameters.HasField(name):  # type: ignore[arg-type]
        return default
    value: int = getattr(parameters, name).value
    if value < least:
        raise invalid(f"{name} must be at least {least}; was {value}")
    return value
