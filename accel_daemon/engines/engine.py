"""The protocol every engine implements, and the table of engines."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from accel_daemon.engines.sharing import Shared
from accel_protocol.errors import ConfigurationError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.manifest import Manifest
from accel_protocol.tensors import Array


@dataclass(frozen=True)
class TensorSpec:
    """One named feed or fetch: alias, tensor in the graph, dtype number, shape.

    `shape` is None for an unknown rank; -1 in it stands for an unknown size.
    """

    name: str
    tensor: str
    dtype: int
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class Weights:
    """Bytes that loading a model brings into memory: of its variables, and of its constants."""

    variables: int
    constants: int

    @property
    def total(self) -> int:
        """Both."""
        return self.variables + self.constants


@dataclass(frozen=True)
class Cost:
    """What one run takes, told from the graph and the shapes of its feeds.

    Attributes:
        flops_16: floating-point operations in 16-bit floats.
        flops_32: those in anything wider. A multiplication and an addition are two.
        activation_bytes: the most that feeds and results in between take at one time, when ops run
            one after the other.
        incomplete: whether some shapes are not known before the run, so that the rest is too low.
    """

    flops_16: int
    flops_32: int
    activation_bytes: int
    incomplete: bool


class Graph(Protocol):
    """One loaded graph. `run` may be called from several threads at once."""

    feeds: Mapping[str, TensorSpec]
    fetches: Mapping[str, TensorSpec]
    repeatable: bool
    """Whether running again with equal feeds changes no state."""

    @property
    def executed_by(self) -> str:
        """What answers its calls now, for instance "tensorflow 2.21.0" or "openvino 1 (2.1 x)"."""

    def run(self, feeds: Mapping[str, Array], timeout: float | None) -> dict[str, Array]:
        """All fetches for these feeds; feeds left out are not fed.

        Args:
            feeds: by alias, of the spec's dtype or one that converts to it.
            timeout: seconds until the engine stops the work, None for no bound.

        Raises:
            FeedError: an unknown alias, or a value that does not convert.
            GraphError: the graph failed.
            DeadlineError: the time ran out and the work was stopped.
        """

    def cost(self, shapes: Mapping[str, tuple[int, ...] | None]) -> Cost | None:
        """What a run with feeds of these shapes takes; None where that cannot be told.

        Takes as long as building the graph once more. May be called from several threads at once.

        Args:
            shapes: by alias of what is fed; None for an unknown rank.
        """

    def close(self) -> None:
        """Free what the graph holds; running calls end with an error."""


class Engine(Protocol):
    """One framework, opened in this process."""

    version: str
    """Name and version, for instance "tensorflow 2.21.0"; of several, with a comma in between."""

    def weigh(self, folder: Path, manifest: Manifest) -> Weights:
        """What loading the bundle would bring at least, told without loading it. Never fails."""

    def load(self, folder: Path, manifest: Manifest, shared: Shared | None = None) -> Graph:
        """Load the bundle whose files lie in `folder`.

        Args:
            folder: see above.
            manifest: the bundle's.
            shared: what it has in common with other graphs, which closing it leaves as it is;
                None for nothing.

        Raises:
            NotSharedError: it has nothing in common with these; load it without.
            ModelError: the bundle cannot be loaded; the message says why, without any path.
        """


# Each has a function `open_engine(limits, allowed_ops)`, see below.
_ENGINES = {"tensorflow": "accel_daemon.engines.tensorflow"}


def open_engine(
    name: str,
    limits: Limits = DEFAULT_LIMITS,
    allowed_ops: Mapping[str, str] = MappingProxyType({}),
) -> Engine:
    """Import the engine's framework and make it ready.

    Args:
        name: "tensorflow".
        limits: how large a graph may be.
        allowed_ops: ops that the operator allows beside those always admitted, each with a reason.

    Raises:
        ConfigurationError: no such engine (NOT_CONFIGURED), or not installed (ENGINE_MISSING).
    """
    if name not in _ENGINES:
        known = ", ".join(sorted(_ENGINES))
        raise ConfigurationError(f"There is no engine {name!r}.", remedy=f"Use one of: {known}.")
    try:
        engine: Engine = importlib.import_module(_ENGINES[name]).open_engine(limits, allowed_ops)
    except ImportError as error:
        raise ConfigurationError(
            f"The engine {name} is not installed: importing {error.name or 'it'} failed.",
            reason="ENGINE_MISSING",
            remedy="pip install 'elastic-accelerator[daemon]' on the accelerator's host.",
        ) from error
    return engine


def compiling(
    engine: Engine,
    watched: Callable[[bytes], AbstractContextManager[None]],
    uncompiled: frozenset[bytes] = frozenset(),
    *,
    compiles: bool = True,
    batches: bool = True,
    precision: str = "f32",
    room: Callable[[], int] = lambda: sys.maxsize,
) -> Engine:
    """The engine with a compiling one behind it; itself where there is none for it.

    Args:
        engine: what `open_engine` gave.
        watched: where a graph is at work while it is compiled, by its id.
        uncompiled: ids of graphs that are never compiled.
        compiles: whether graphs are compiled, and small ones prepared.
        batches: whether calls are answered together.
        precision: what graphs may be computed in: "f32", "bf16" or "f16".
        room: how many bytes of memory may be taken now.
    """
    if not engine.version.startswith("tensorflow ") or not (compiles or batches):
        return engine
    module = importlib.import_module("accel_daemon.engines.compiled_engine")
    options = {"compiles": compiles, "batches": batches, "precision": precision, "room": room}
    behind: Engine = module.CompilingEngine(engine, watched, uncompiled, **options)
    return behind
