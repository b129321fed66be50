"""What an emulated type changes: how much memory graphs may take, and how fast runs may be. Pure.

The memory of the emulated accelerator holds the weights of its loaded graphs and what their runs
compute in between. The engine's own copies and buffers are the host's and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from accel_daemon.accelerator.pacing import Pacer
from accel_daemon.engines.engine import Cost, Weights
from accel_protocol.accelerator_types import PublishedType, fitting_type, published_type
from accel_protocol.errors import ModelError

# Of the host's memory, what an engine takes for itself with a graph: its first graph most of all,
# and several copies of constants, which TensorFlow keeps in the definition too.
_ENGINE_BYTES = 256 << 20
COPIES_OF_CONSTANTS = 4


@dataclass(frozen=True)
class Emulation:
    """The published type that one accelerator process emulates.

    Attributes:
        published: its memory and throughput.
        paced: whether runs take as long as that throughput would have them.
        pacer: the emulated device's time, which all runs share.
    """

    published: PublishedType
    paced: bool = False
    pacer: Pacer = field(default_factory=Pacer)

    def seconds(self, cost: Cost) -> float:
        """How long one run takes at the published throughput, alone on the device."""
        return self.published.seconds(cost.flops_16, cost.flops_32)


def emulation_of(accelerator_type: str, paced: bool = False) -> Emulation | None:
    """What is emulated for a type; None for `host`, which is the device itself."""
    published = published_type(accelerator_type)
    return None if published is None else Emulation(published, paced)


def counted_bytes(weights: Weights, grown: int, loads: int = 1) -> int:
    """What a loaded graph counts as: its weights, or what the process grew by where that is more.

    The same of several graphs that share their weights, after so many loads.

    More than the weights and the engine's own copies comes of variables that the model makes when
    it is loaded, and that stand in no file.
    """
    own = loads * _ENGINE_BYTES + COPIES_OF_CONSTANTS * weights.constants
    return max(weights.total, grown - own)


def allowed_growth(published: PublishedType) -> int:
    """By how many bytes the process may grow during one run before the run is stopped.

    What a run takes is estimated beforehand; this is for what no estimate tells, as loops that
    collect values.
    """
    return published.memory_bytes + 2 * _ENGINE_BYTES


def too_large(
    published: PublishedType, needed: int, run_bytes: int = 0, *, at_least: bool = False
) -> ModelError:
    """The refusal of a graph that does not even fit alone.

    Args:
        published: the type whose memory it does not fit into.
        needed: bytes that it needs.
        run_bytes: of them, what a run with these feeds needs besides the weights.
        at_least: whether the run was stopped before all that it needs was known.
    """
    fitting = fitting_type(needed)
    what = f", {mebibytes(run_bytes)} of it for a run with these feeds" if run_bytes else ""
    smaller = ", or smaller feeds" if run_bytes else ""
    least, fits = ("at least ", " or larger") if at_least else ("", ", which it fits into")
    return ModelError(
        f"The model needs {least}{mebibytes(needed)} of accelerator memory{what}, "
        f"and {published.name} has {mebibytes(published.memory_bytes)}.",
        reason="MODEL_TOO_LARGE",
        remedy=f"Use an accelerator of type {fitting}{fits}{smaller}.",
        fields={
            "needed_bytes": str(needed),
            "limit_bytes": str(published.memory_bytes),
            "accelerator_type": published.name,
            "fitting_type": fitting,
        },
    )


def mebibytes(count: int, *, down: bool = False) -> str:
    """Rounded up, or down for a limit, so that what does not fit never reads as if it did."""
    return f"{count >> 20 if down else -(-count >> 20)} MiB"
