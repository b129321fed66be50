"""What runs a version: graphs on accelerators, or a session of this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from accel_protocol.tensors import Array
from client_runtime.serving.servable import Bounds


class Ran(NamedTuple):
    """What a run brought: the fetches by alias, and of its seconds those waited and computed."""

    fetches: dict[str, Array]
    queue_seconds: float
    compute_seconds: float


class Engine(Protocol):
    """Runs one version. Thread-safe."""

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """All outputs of a signature that can run, by alias.

        Raises:
            ServingError: see `Servable.run`.
        """

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> Ran:
        """Any tensors of the graph, by their names.

        Raises:
            ServingError: see `Servable.run`; no such tensor (INVALID_ARGUMENT).
        """

    def close(self) -> None:
        """See `Servable.close`."""
