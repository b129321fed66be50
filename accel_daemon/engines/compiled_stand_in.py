"""What can answer in TensorFlow's place: a graph compiled for one set of shapes, or prepared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from accel_daemon.engines.openvino_model import (
    NotCompiledError,
    OpenVinoModel,
    installed_version,
)
from accel_daemon.engines.reduced_precision import Error
from accel_daemon.engines.tensorflow import TensorFlowGraph
from accel_daemon.engines.tensorflow_flat import Fed
from accel_daemon.engines.tensorflow_frozen import NotFrozenError
from accel_protocol.tensors import Array


class Model(Protocol):
    """An engine's part of it. `run` may be called from several threads at once.

    Attributes:
        least_seconds: a run with less time than this cannot be stopped in time.
    """

    least_seconds: float

    def run(self, feeds: Sequence[Array], timeout: float | None) -> list[Array]:
        """All fetches in their order, for feeds in theirs.

        Args:
            feeds: one for each, of the shapes and dtypes that it was made for.
            timeout: seconds until it is stopped, None for no bound.
        """

    def close(self) -> None:
        """Stop all runs."""


class StandIn:
    """A model, and where the feeds and fetches of a graph are in it.

    Attributes:
        name: of what executes it, for people.
        gain: how many times faster than TensorFlow it was when it was tried.
        seconds: what a run took then.
        error: how far its answers were from TensorFlow's; None where no further than rounding is.
        model: answers.
    """

    def __init__(
        self, graph: TensorFlowGraph, name: str, model: Model, aliases: Sequence[str]
    ) -> None:
        """Take a model of `wanted(graph, aliases)`, with feeds in the order of their aliases."""
        self.name, self.model = name, model
        self.gain = self.seconds = 0.0
        self.error: Error | None = None
        self._graph, self._aliases = graph, list(aliases)
        given = {graph.feeds[alias].tensor: alias for alias in aliases}
        numbers = {tensor: number for number, tensor in enumerate(wanted(graph, aliases))}
        tensors = {alias: spec.tensor for alias, spec in graph.fetches.items()}
        self._answered = [(a, numbers[t]) for a, t in tensors.items() if t in numbers]
        # A fetch that is fed is answered with what was fed, as TensorFlow does.
        self._echoed = [(a, given[t]) for a, t in tensors.items() if t not in numbers]

    def run(self, values: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """See `Graph.run`."""
        results = self.model.run([values[alias] for alias in self._aliases], timeout)
        as_fetched = self._graph.as_fetched
        answer = {alias: as_fetched(alias, results[number]) for alias, number in self._answered}
        for alias, fed in self._echoed:
            answer[alias] = as_fetched(alias, values[fed])
        return answer

    def close(self) -> None:
        """Stop all runs."""
        self.model.close()


def wanted(graph: TensorFlowGraph, aliases: Sequence[str]) -> list[str]:
    """Names of the tensors to compute when all these are fed."""
    fed = {graph.feeds[alias].tensor for alias in aliases}
    tensors = dict.fromkeys(spec.tensor for spec in graph.fetches.values())
    return [tensor for tensor in tensors if tensor not in fed]


def compiled(graph: TensorFlowGraph, values: Mapping[str, Array]) -> StandIn:
    """The graph, compiled by OpenVINO for the shapes of these values.

    Raises:
        NotFrozenError, NotCompiledError: it cannot be.
    """
    aliases = list(values)
    model = OpenVinoModel(_frozen(graph, values), len(wanted(graph, aliases)))
    return StandIn(graph, installed_version() or "", model, aliases)


@dataclass(frozen=True)
class Reduced:
    """Makes what `compiled` does, computing in fewer bits.

    Attributes:
        precision: one of PRECISIONS.
    """

    precision: str

    def __call__(self, graph: TensorFlowGraph, values: Mapping[str, Array]) -> StandIn:
        """See `compiled`."""
        if installed_version() is None:
            raise NotCompiledError("OpenVINO is not installed")
        aliases = list(values)
        frozen, count = _frozen(graph, values), len(wanted(graph, aliases))
        model = OpenVinoModel(frozen, count, self.precision)
        return StandIn(graph, f"{installed_version()} in {self.precision}", model, aliases)


def prepared(graph: TensorFlowGraph, values: Mapping[str, Array]) -> StandIn:
    """The graph, prepared by TensorFlow for running it in its callers' threads.

    Raises:
        NotFrozenError: how long it takes does not follow from shapes alone.
    """
    aliases = list(values)
    _frozen(graph, values)
    tensors = [graph.feeds[alias].tensor for alias in aliases]
    model = graph.prepared(tensors, wanted(graph, aliases))
    return StandIn(graph, f"{graph.executed_by} prepared", model, aliases)


def _frozen(graph: TensorFlowGraph, values: Mapping[str, Array]) -> object:
    feeds: dict[str, Fed] = {}
    for alias, value in values.items():
        feeds[graph.feeds[alias].tensor] = Fed(graph.feeds[alias].dtype, value.shape)
    if len(feeds) < len(values):
        raise NotFrozenError("one tensor is fed under two names")
    return graph.frozen(feeds, wanted(graph, list(values)))
