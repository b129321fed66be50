"""A contestant's process: makes the calls it is told to, one line of JSON for each order.

`python -m benchmarks.worker MODULE:CLASS SETTINGS`. It loads what the contestant needs and nothing
else, so that it runs in an environment without this project, as Triton's is.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

Caller = Callable[[], object]


class Contestant(Protocol):
    """One way of running models. Methods whose name begins with `do_` are orders of its own."""

    def caller(self, work: str, way: str) -> Caller:
        """Something that makes one call of this work; for one thread at a time."""


class Orders:
    """What every contestant can be told."""

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._callers: dict[tuple[str, str], list[Caller]] = {}

    def carry_out(self, do: str, **given: Any) -> Any:
        """Carry out one order."""
        own = getattr(self, f"do_{do}", None)
        return (own or getattr(self._contestant, f"do_{do}"))(**given)

    def close(self) -> None:
        """End what the contestant started, where it does not end by itself."""
        getattr(self._contestant, "close", lambda: None)()

    def do_calls(self, work: str, way: str, count: int) -> list[float]:
        """The seconds of each of so many calls, one after the other."""
        (call,) = self._ready(work, way, 1)
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
        return taken

    def do_round(self, way: str, models: int, count: int) -> list[float]:
        """The seconds of each of so many calls, each to the next of so many models."""
        calls = [self._ready(f"small-{number}", way, 1)[0] for number in range(models)]
        taken = []
        for number in range(count):
            started = time.perf_counter()
            calls[number % models]()
            taken.append(time.perf_counter() - started)
        return taken

    def do_load(self, work: str, way: str, clients: int, seconds: float) -> float:
        """Calls a second of so many threads that call without a pause."""
        callers = self._ready(work, way, clients)
        counts, end = [0] * clients, time.perf_counter() + seconds
        threads = [
            threading.Thread(target=_call_until, args=(end, callers[n], counts, n))
            for n in range(clients)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started)

    def _ready(self, work: str, way: str, clients: int) -> list[Caller]:
        callers = self._callers.setdefault((work, way), [])
        while len(callers) < clients:
            callers.append(self._contestant.caller(work, way))
        return callers[:clients]


def _call_until(end: float, call: Caller, counts: list[int], number: int) -> None:
    while time.perf_counter() < end:
        call()
        counts[number] += 1


def main(name: str, settings: str) -> None:
    """Serve orders from standard input until it ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    module, _, attribute = name.partition(":")
    orders: Orders | None = None
    for line in sys.stdin:
        try:
            if orders is None:
                contestant = getattr(importlib.import_module(module), attribute)
                orders = Orders(contestant(**json.loads(settings)))
            answer = {"answer": orders.carry_out(**json.loads(line))}
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {text[0]}"}
        answers.write(json.dumps(answer) + "\n")
    if orders is not None:
        orders.close()
    sys.stdout.flush()  # what libraries printed belongs to the log, and _exit() would drop it
    os._exit(0)  # servers of the contestant's own threads may not want to end


if __name__ == "__main__":
    main(*sys.argv[1:])
