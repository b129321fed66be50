"""The measurements: each lets its contestants take turns and gives a `Group`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.field import Field
from benchmarks.interleaving import schedule
from benchmarks.processes import ROOT, WorkerError, environment
from benchmarks.targets import Group
from benchmarks.work import WORKS

Turn = Callable[[int], list[float]]
"""One contestant's turn in a round, which is -1 for the warm-up: the values measured."""

_FIRST_RESULT = """
import sys
import numpy as np
from client_runtime import EIPredictor
EIPredictor(sys.argv[1])({"x": np.ones((1, 16), np.float32)})
print("done", flush=True)
"""
_FEW_CALLS = 50
_IMPORT = "import tensorflow; print('done', flush=True)"


def take_turns(unit: str, turns: dict[str, Turn], rounds: int) -> Group:
    """Measure contestants in turns, after a warm-up of each that does not count.

    A contestant that fails is absent, with its reason, and the others go on.
    """
    group = Group(unit)
    for name, turn in turns.items():
        _attempt(group, name, turn, -1)
    for number, name in schedule([name for name in turns if name not in group.absent], rounds):
        if name not in group.absent:
            values = _attempt(group, name, turns[name], number)
            group.measured.setdefault(name, []).append(values)
    for name in group.absent:
        group.measured.pop(name, None)
    return group


def _attempt(group: Group, name: str, turn: Turn, number: int) -> list[float]:
    try:
        return turn(number)
    except (WorkerError, OSError) as error:
        group.absent[name] = str(error)
        return []


def latency(field: Field, work: str, names: Sequence[str], rounds: int, calls: int) -> Group:
    """Seconds of single calls, so many in each turn."""
    field.make_models([WORKS[work].model])

    def turn_of(name: str) -> Turn:
        return lambda _: field.tell(name, "calls", work=work, count=calls)

    return take_turns("s", {name: turn_of(name) for name in names}, rounds)


def models(field: Field, names: Sequence[str], rounds: int, count: int) -> Group:
    """Seconds of single calls that go round so many models, each model once in a turn."""
    field.make_models([f"small-{number}" for number in range(count)])

    def turn_of(name: str) -> Turn:
        return lambda _: field.tell(name, "round", models=count, count=max(count, _FEW_CALLS))

    return take_turns("s", {name: turn_of(name) for name in names}, rounds)


def throughput(
    field: Field, work: str, names: Sequence[str], rounds: int, clients: int, seconds: float
) -> Group:
    """Calls a second of several clients at one time: threads of one process, a turn of seconds."""
    field.make_models([WORKS[work].model])

    def turn_of(name: str) -> Turn:
        return lambda _: [field.tell(name, "load", work=work, clients=clients, seconds=seconds)]

    return take_turns("calls/s", {name: turn_of(name) for name in names}, rounds)


def cold_start(field: Field, rounds: int) -> Group:
    """Seconds from starting a process until it has its first result."""
    field.make_models(["tiny"])
    environment_ = environment(field.home)

    def turn_of(*arguments: str) -> Turn:
        return lambda _: [_until_first_line([sys.executable, "-c", *arguments], environment_)]

    ours = turn_of(_FIRST_RESULT, str(field.models / "tiny"))
    turns = {"ours": ours, "import-tensorflow": turn_of(_IMPORT)}
    return take_turns("s", turns, rounds)


def _until_first_line(command: list[str], environment_: dict[str, str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        env=environment_,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken = time.perf_counter() - started
    if not line:
        raise OSError(f"the process ended with status {process.returncode}")
    return taken


def first_upload(field: Field, rounds: int) -> Group:
    """Seconds of the whole first call of a model of 100 MB that nobody has seen before."""
    models = {number: f"big-{number + 2}" for number in range(-1, rounds)}
    field.make_models(list(models.values()))

    def turn_of(name: str) -> Turn:
        def turn(number: int) -> list[float]:
            path = str(field.models / models[number])
            return [field.tell(name, "first_call", model=path, work="big")]

        return turn

    turns = {"ours": turn_of("ours"), "saved-model-load": turn_of("function")}
    return take_turns("s", turns, rounds)


def memory(field: Field, work: str, cycles: int) -> Group:
    """Resident bytes of the accelerator after a tenth and after all of the loads and unloads."""
    field.make_models([WORKS[work].model])
    group = Group("bytes")
    try:
        resident = field.tell("ours", "memory", work=work, cycles=cycles, within=900.0)
    except WorkerError as error:
        return Group("bytes", absent={"ours": str(error)})
    group.measured["after-a-tenth"] = [[float(resident[cycles // 10 - 1])]]
    group.measured["ours"] = [[float(resident[-1])]]
    return group


def costs(field: Field, work: str, calls: int) -> dict[str, Any]:
    """What one of our calls costs in counts, and where its seconds go.

    Raises:
        WorkerError: our own calls fail.
    """
    field.make_models([WORKS[work].model])
    return {
        "counts": field.tell("ours", "count", work=work, calls=calls),
        "split": field.tell("ours", "split", work=work, count=calls),
    }
