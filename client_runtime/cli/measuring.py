"""Measuring several ways of making the same call, in turns, so that none has the quiet minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from client_runtime.cli.latencies import Measured
from client_runtime.transport.exchange import CallTiming

Caller = Callable[[], CallTiming | None]
"""Makes one call; answers where its time went, when that is known."""

_BLOCKS = 5


def block_sizes(runs: int, concurrency: int) -> list[int]:
    """So many runs in at most five blocks of almost equal size.

    A block ends with fewer calls at one time than it should have, so it is at least two rounds.
    """
    blocks = max(1, min(_BLOCKS, runs // (2 * concurrency)))
    return [runs // blocks + (number < runs % blocks) for number in range(blocks)]


def measure(
    callers: Mapping[str, Caller], runs: int, warmup: int, concurrency: int
) -> dict[str, Measured]:
    """Make `runs` calls in each way, `concurrency` at a time, after `warmup` that do not count.

    The ways take turns block by block, and every second time in the opposite order.
    """
    measured = {name: Measured() for name in callers}
    with ThreadPoolExecutor(concurrency, thread_name_prefix="bench") as threads:
        for caller in callers.values():
            _block(threads, caller, warmup, Measured())
        for number, count in enumerate(block_sizes(runs, concurrency)):
            names = list(callers)[:: 1 if number % 2 == 0 else -1]
            for name in names:
                _block(threads, callers[name], count, measured[name])
    return measured


def _block(threads: ThreadPoolExecutor, caller: Caller, count: int, measured: Measured) -> None:
    def timed(_: int) -> tuple[float, CallTiming | None]:
        started = time.perf_counter()
        timing = caller()
        return time.perf_counter() - started, timing

    started = time.perf_counter()
    for seconds, timing in threads.map(timed, range(count)):
        measured.seconds.append(seconds)
        if timing is not None:
            measured.timings.append(timing)
    measured.wall += time.perf_counter() - started
