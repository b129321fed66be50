"""Which accelerators a model goes to, and which of its replicas runs a call.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from client_runtime.serving.inference.options import ALL_ACCELERATORS


def candidates(visible: Sequence[str], placed_bytes: Mapping[str, int]) -> list[str]:
    """The accelerators in the order in which a model should try them: the least loaded first.

    Args:
        visible: ids, in their order, which decides between equally loaded ones.
        placed_bytes: bytes of models on each; what is missing has none.
    """
    return sorted(visible, key=lambda one: placed_bytes.get(one, 0))


def wanted(replicas: int, visible: int) -> int:
    """On how many accelerators a model is loaded, of those that are visible."""
    return visible if replicas == ALL_ACCELERATORS else min(replicas, visible)


def least_busy(in_flight: Sequence[int], turn: int) -> int:
    """The place of the replica to run the next call; equally busy ones take turns."""
    fewest = min(in_flight)
    free = [place for place, count in enumerate(in_flight) if count == fewest]
    return free[turn % len(free)]
