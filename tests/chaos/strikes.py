"""The faults, done to a world for real. Each one begins here and says how it ends."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.chaos.plan import Strike
from tests.chaos.world import World, new_key, user_of

End = Callable[[], None]
_LEFT_BYTES = 64 << 10  # on a full disk


def _cut(world: World, strike: Strike) -> None:
    world.roads[strike.accelerator].cut()


def _cut_after(world: World, strike: Strike) -> None:
    world.roads[strike.accelerator].cut_after(1 + int(strike.chance * 3_000_000))


def _stall(world: World, strike: Strike) -> End:
    world.roads[strike.accelerator].stall()
    return world.roads[strike.accelerator].go_on


def _refuse(world: World, strike: Strike) -> End:
    world.roads[strike.accelerator].refuse()
    world.roads[strike.accelerator].cut()
    return world.roads[strike.accelerator].go_on


def _on_demand(text: str) -> Callable[[World, Strike], None]:
    def strike_with(world: World, strike: Strike) -> None:
        begins = text.format(when=("before", "after")[strike.chance < 0.5])
        where = f"accelerator={strike.accelerator},seconds={strike.seconds}"
        world.inject(f"{begins},{where},seed={int(strike.chance * 1e6)}")

    return strike_with


def _skew(world: World, strike: Strike) -> None:
    """By a second up to ten years, one way or the other."""
    sign = 1 if strike.chance < 0.5 else -1
    offset = sign * 10 ** (strike.chance * 2 % 1 * 8.5)
    world.inject(f"clock-skew:offset_seconds={offset:.3f},seconds={strike.seconds}")


def _signal(world: World, ordinal: int, number: signal.Signals) -> None:
    """Send it to the accelerator's present process; a process that is gone gets none."""
    if world.pids[ordinal]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.pids[ordinal], number)


def _kill(world: World, strike: Strike) -> None:
    _signal(world, strike.accelerator, signal.SIGKILL)


def _stop(world: World, strike: Strike) -> End:
    pid = world.pids[strike.accelerator]
    _signal(world, strike.accelerator, signal.SIGSTOP)

    def go_on() -> None:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return go_on


def _rotate(world: World, strike: Strike) -> None:
    world.daemon.process.send_signal(signal.SIGHUP)


def _revoke(world: World, strike: Strike) -> End:
    mine = [one for one in world.keys if one % len(world.pids) == strike.accelerator]
    left = [one for one in mine if one not in world.revoked]
    if not left:
        return lambda: None  # none of them has a key that could be taken away
    client = left[int(strike.chance * len(left))]
    gone = world.keys[client]
    world.revoked.add(client)
    world.change(lambda now: now.without_key(gone.access_key_id))
    now = time.monotonic()
    world.history.note("revoke", strike.accelerator, now, now, gone.access_key_id)

    def again() -> None:
        key = new_key()
        world.change(lambda now: now.with_key(user_of(client), key))
        world.keys[client] = key
        world.revoked.discard(client)

    return again


def _full_disk(world: World, strike: Strike) -> End:
    assert world.disk is not None
    filler = world.disk / "filler"
    status = os.statvfs(world.disk)
    size = status.f_bavail * status.f_frsize - _LEFT_BYTES
    if size > 0:
        descriptor = os.open(filler, os.O_CREAT | os.O_WRONLY, 0o600)
        with contextlib.suppress(OSError):  # somebody else wrote meanwhile: full it is
            os.posix_fallocate(descriptor, 0, size)
        os.close(descriptor)
    return lambda: filler.unlink(missing_ok=True)


def _slow_disk(world: World, strike: Strike) -> End:
    assert world.disk is not None
    # By a process that ends it by itself: this one may have to write before it could.
    # Two at a time are done one after the other.
    commands = 'fsfreeze --freeze "$1" && { sleep "$2"; fsfreeze --unfreeze "$1"; }'
    lock = str(world.disk.parent / "freezing")
    shell = ["flock", lock, "sh", "-c", commands, "sh", str(world.disk), str(strike.seconds)]
    process = subprocess.Popen(shell)

    def thawed() -> None:
        assert process.wait() == 0

    return thawed


def _rot(world: World, strike: Strike) -> None:
    blobs = [path for path in world.blobs() if path.stat().st_size]
    if blobs:
        world.rot(blobs[int(strike.chance * len(blobs))], strike.chance)


STRIKES: Mapping[str, Callable[[World, Strike], End | None]] = {
    "cut": _cut,
    "cut-after": _cut_after,
    "stall": _stall,
    "refuse": _refuse,
    "drop": _on_demand("drop:probability=0.4,when={when}"),
    "slow": _on_demand("slow:latency_ms=40,jitter_ms=80"),
    "unavailable": _on_demand("unavailable:probability=0.7"),
    "expired": _on_demand("expired-credentials:at=both,probability=0.6"),
    "skew": _skew,
    "pressure": _on_demand("memory-pressure:bytes=3000000"),
    "stop": _stop,
    "freeze": _stop,
    "kill": _kill,
    "rotate": _rotate,
    "revoke": _revoke,
    "full-disk": _full_disk,
    "slow-disk": _slow_disk,
    "rot": _rot,
}


class Storm:
    """Does all faults of a plan to a world at their times, and ends each in its time.

    Attributes:
        done: how many of each kind were done.
    """

    def __init__(self, world: World, planned: Sequence[Strike]) -> None:
        self._world, self._planned = world, planned
        self._ends: list[tuple[float, int, Strike, float, End]] = []
        self._order = itertools.count()
        self.done: Counter[str] = Counter()

    def rage(self, abandoned: threading.Event) -> None:
        """Until all faults are over, or the campaign is abandoned."""
        begun = time.monotonic()
        try:
            for strike in self._planned:
                if not self._wait_until(begun + strike.at, abandoned):
                    return
                self._do(strike)
            self._wait_until(max((end[0] for end in self._ends), default=0.0), abandoned)
        finally:
            self._end_those_due(float("inf"))

    def _wait_until(self, moment: float, abandoned: threading.Event) -> bool:
        while True:
            self._end_those_due(time.monotonic())
            left = moment - time.monotonic()
            if left <= 0:
                return True
            due = self._ends[0][0] - time.monotonic() if self._ends else left
            if abandoned.wait(max(0.001, min(left, due))):
                return False

    def _do(self, strike: Strike) -> None:
        begun = time.monotonic()
        end = STRIKES[strike.kind](self._world, strike)
        self.done[strike.kind] += 1
        over = time.monotonic() + strike.seconds
        heapq.heappush(self._ends, (over, next(self._order), strike, begun, end or _nothing))

    def _end_those_due(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            _, _, strike, begun, end = heapq.heappop(self._ends)
            end()
            accelerator = strike.accelerator if strike.kind not in _EVERYWHERE else None
            if strike.kind != "revoke":
                self._world.history.note(strike.kind, accelerator, begun, time.monotonic())


_EVERYWHERE = frozenset({"full-disk", "slow-disk", "rotate", "skew"})


def _nothing() -> None:
    """A fault that ends by itself."""
