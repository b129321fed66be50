"""What the supervisor sees of an engine's work, and which graphs it does not want tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from accel_daemon.flight_record import Entry, FlightRecorder
from accel_protocol.errors import ModelError
from accel_protocol.limits import Limits


@dataclass(frozen=True)
class Vigil:
    """Bounds on the engine's work, and the record of it.

    Attributes:
        recorder: writes down what is at work.
        load_seconds, run_seconds: how long one load, or one run, may take.
        quarantined: why graphs are not tried again, by hexadecimal id.
    """

    recorder: FlightRecorder
    load_seconds: float = 300.0
    run_seconds: float = 600.0
    quarantined: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def in_memory(limits: Limits) -> Vigil:
        """One that nobody reads."""
        return Vigil(FlightRecorder(None, slots(limits)))

    def check(self, graph_id: bytes) -> None:
        """Refuse a graph that is in quarantine.

        Raises:
            ModelError: it is (GRAPH_QUARANTINED); the message says what it did.
        """
        why = self.quarantined.get(graph_id.hex())
        if why is not None:
            raise ModelError(
                f"The model brought its accelerator down more than once: {why}.",
                reason="GRAPH_QUARANTINED",
            )

    def bounded(self, timeout: float | None) -> float:
        """A run's time-out, which none is without."""
        return self.run_seconds if timeout is None else min(timeout, self.run_seconds)

    def load(self, graph_id: bytes) -> Entry:
        """The entry of a load."""
        return self.recorder.expect("load", graph_id, self.load_seconds)

    def compilation(self, graph_id: bytes) -> Entry:
        """The entry of compiling a graph, which is tried out at its end."""
        return self.recorder.expect("compile", graph_id, self.load_seconds)

    def run(self, graph_id: bytes, timeout: float) -> Entry:
        """The entry of a run that the engine stops after `timeout` seconds."""
        return self.recorder.expect("run", graph_id, timeout)


def slots(limits: Limits) -> int:
    """How much can be at work at one time: runs, those that are being stopped, and a few more."""
    return 2 * limits.concurrent_runs + 8
