"""One campaign from its beginning to its figures."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from accel_daemon.machine_memory import give_back_freed
from tests.chaos import checker
from tests.chaos.checker import Bounds, Violation
from tests.chaos.clients import Client, make_shared
from tests.chaos.history import History
from tests.chaos.plan import COUNTER, RUNNER, Action, Strike, actions, strikes
from tests.chaos.resources import measured
from tests.chaos.strikes import Storm
from tests.chaos.world import ACCELERATORS, World, damage, running
from tests.conftest import eventually, patience

RUNNERS = 3 * ACCELERATORS
COUNTERS = 1 * ACCELERATORS
# After many crashes a process waits for 30 s until it starts again, which takes it 20 s at most.
_RECOVERY_SECONDS = 50.0
# Nothing may leak with use; these are what pools, caches and allocators keep, whatever the use.
_ALLOWED = {
    "descriptors": 16,
    "threads": 16,
    "children": 0,
    "MiB": 128,
    # With a TensorFlow of its own, and dozens of threads whose memory the C library keeps apart: it
    # is 130 to 160 after one minute, and not more after ten.
    "client MiB": 256,
    "files": 2,
}


@dataclass(frozen=True)
class Report:
    """A campaign's figures.

    Attributes:
        seed: of its plan.
        seconds: of faults.
        faults: how many were done, by kind.
        outcomes: of requests, by outcome.
        replaced: accelerator processes that came after the first ones.
        recovery: each client's seconds until it was served after the last fault.
        before, after: what was used while nobody used it.
        violations: what must not have happened.
    """

    seed: int
    seconds: float
    faults: Mapping[str, int]
    outcomes: Mapping[str, int]
    replaced: int
    recovery: Mapping[int, float | None]
    before: Mapping[str, float]
    after: Mapping[str, float]
    violations: Sequence[Violation]

    def to_text(self) -> str:
        """For people."""
        served = [one for one in self.recovery.values() if one is not None]
        lines = [
            f"seed {self.seed}: {self.seconds:.0f} s",
            f"faults: {sum(self.faults.values())} ({_counted(self.faults)})",
            f"requests: {sum(self.outcomes.values())} ({_counted(self.outcomes)})",
            f"accelerator processes that came after others: {self.replaced}",
            f"served again after the last fault: {max(served, default=0):.1f} s at most",
            "used before and after, by nobody:",
            *(
                f"  {name}: {self.before.get(name, 0):g} {value:g}"
                for name, value in sorted(self.after.items())
            ),
            f"violations: {len(self.violations)}",
            *(f"  {one.invariant}: {one.text}" for one in self.violations[:50]),
        ]
        return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def campaign(seed: int, seconds: float, per_second: float, log: Path | None = None) -> Report:
    """Run one: so many seconds of faults, so many a second; `log` gets what the daemon logged."""
    history = History()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # an accelerator's own user has to reach its folders below
        shared = make_shared(folder / "graphs")
        with running(folder, history) as world:
            planned = strikes(
                seed, seconds, per_second, ACCELERATORS, has_disk=world.disk is not None
            )
            try:
                return _survived(seed, seconds, planned, world, folder, shared)
            finally:
                if log is not None:
                    shutil.copy(world.daemon.log, log)


def _survived(
    seed: int,
    seconds: float,
    planned: Sequence[Strike],
    world: World,
    folder: Path,
    shared: Path,
) -> Report:
    clients = _clients(seed, world, folder, shared)
    before = _at_rest(world, clients)
    world.history.forget()
    storm = Storm(world, planned)
    _rage(storm, clients)
    recovery = _recovered(clients)
    after = _at_rest(world, clients)
    found = [
        *checker.check(world.history, _bounds()),
        *checker.grown(before, after, _ALLOWED),
        *checker.slow_recovery(recovery, patience(_RECOVERY_SECONDS)),
        *checker.damaged(damage(world)),
    ]
    outcomes = Counter(one.outcome for one in world.history.ended)
    replaced = sum(one.kind == "process" for one in world.history.events)
    return Report(seed, seconds, storm.done, outcomes, replaced, recovery, before, after, found)


def _bounds() -> Bounds:
    return Bounds(denial=patience(3), overdue=patience(10))


def _clients(seed: int, world: World, folder: Path, shared: Path) -> list[Client]:
    clients = []
    for number in range(RUNNERS + COUNTERS):
        kinds = RUNNER if number < RUNNERS else COUNTER
        world.add_client(number)
        own = folder / f"client-{number}"
        own.mkdir()
        clients.append(Client(number, world, actions(seed, number, kinds), own, shared))
    return clients


def _rage(storm: Storm, clients: Sequence[Client]) -> None:
    """All clients and all faults at once, until the faults are over."""
    abandoned = threading.Event()
    for client in clients:
        client.start()
    try:
        storm.rage(abandoned)
    finally:
        for client in clients:
            client.end()
        for client in clients:
            client.join(patience(120))
    defects = [client.defect for client in clients if client.defect is not None]
    assert not defects, defects
    assert not any(client.is_alive() for client in clients), "a client never ends"


def _recovered(clients: Sequence[Client]) -> dict[int, float | None]:
    """Each client's seconds until it is served, counted from now."""
    give_up_at = time.monotonic() + patience(_RECOVERY_SECONDS) + 60
    with ThreadPoolExecutor(len(clients)) as threads:
        served = threads.map(lambda client: client.serve(give_up_at), clients)
        return dict(zip((client.number for client in clients), served, strict=True))


def _at_rest(world: World, clients: Sequence[Client]) -> dict[str, float]:
    """What is used after each client was served, and went away without leaving a graph loaded."""
    for client in clients:
        is_counter = client.number >= RUNNERS
        client.do(Action("count" if is_counter else "run", client.number % 3, 0.5))
        if not is_counter:
            client.do(Action("loop", 0, 0.1))
    for client in clients[:ACCELERATORS]:
        client.unload_all()
    for client in clients:
        client.close()
    give_back_freed()  # of this process, whose clients it is about; the others do so by themselves
    settled: list[dict[str, float]] = [measured(world)]

    def is_still() -> bool:
        time.sleep(patience(1))
        settled.append(measured(world))
        return all(
            settled[-1].get(name) == value
            for name, value in settled[-2].items()
            if name.endswith(("descriptors", "threads", "children", "files"))
        )

    eventually(is_still, 60)
    for client in clients:
        client.reopen()
    return settled[-1]
