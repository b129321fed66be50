"""Which measurements a run makes, and how long each is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.targets import OURS, OURS_LOCAL, Row
from benchmarks.work import MODELS, SIZES

ALL = (
    "memcpy",
    "tls",
    "grpc-stream",
    "session",
    "prepared",
    "function",
    OURS,
    OURS_LOCAL,
    "grpc-session",
    "triton",
)
_COMPUTED = ("session", "prepared", "function", OURS, OURS_LOCAL, "grpc-session", "triton")
_MOVED = ("memcpy", "tls", "grpc-stream", OURS, OURS_LOCAL, "grpc-session", "triton")
_LOADED = (OURS, "session", "triton")
# Triton starts a process with TensorFlow for each model.
_MANY = (OURS, "session", "grpc-session")
CLIENTS = (1, 4, 16, 64)
_CALLS = {"tiny": 50, "large": 5, "mobilenet": 5, "resnet": 3}
_SECONDS = 2.0


@dataclass(frozen=True)
class Measurement:
    """One group to be measured.

    Attributes:
        group: its name; that of a work for latencies.
        kind: "latency", "throughput", "cold", "upload" or "memory".
        work: what is called.
        contestants: in turns.
        rounds: how many turns each gets.
        amount: calls a turn, or clients, or cycles.
        seconds: of a turn, for throughput.
    """

    group: str
    kind: str
    work: str
    contestants: tuple[str, ...]
    rounds: int
    amount: int = 1
    seconds: float = 0.0


def plan(rows: Sequence[Row], *, everything: bool, rounds: int, quick: bool) -> list[Measurement]:
    """The measurements for these rows.

    Args:
        rows: what is asked for.
        everything: whether contestants that no row needs and the curves are measured, too.
        rounds: turns of each contestant where a turn is short; a third of them where it is long.
        quick: whether turns are as short as they can be.
    """
    needed: dict[str, set[str]] = {}
    for row in rows:
        needed.setdefault(row.group, set()).update((row.ours, *row.others))
    wanted = [_of(group, names, rounds, quick) for group, names in needed.items()]
    if everything:
        wanted = [_with_all(one) for one in wanted]
        wanted += [one for one in curves(rounds=rounds) if one.group not in needed]
    return wanted


def _of(group: str, names: set[str], rounds: int, quick: bool) -> Measurement:
    contestants = tuple(name for name in ALL if name in names)
    few = max(1, rounds // 3)
    if group.endswith("-clients"):
        work, clients, _ = group.split("-")
        seconds = 0.3 if quick else _SECONDS
        return Measurement(group, "throughput", work, contestants, few, int(clients), seconds)
    if group == "memory":
        work, cycles = ("tiny", 20) if quick else ("mobilenet", 100)
        return Measurement(group, "memory", work, contestants, 1, cycles)
    if group in ("cold", "upload"):
        return Measurement(group, group, "tiny" if group == "cold" else "big", contestants, few)
    calls = max(1, _CALLS[group] // (5 if quick else 1))
    return Measurement(group, "latency", group, contestants, rounds, calls)


def _with_all(one: Measurement) -> Measurement:
    names = {"throughput": _LOADED, "latency": _MOVED if one.work == "large" else _COMPUTED}
    if one.work == "tiny" and one.kind == "latency":
        names["latency"] = ALL
    chosen = names.get(one.kind, one.contestants)
    return Measurement(one.group, one.kind, one.work, chosen, one.rounds, one.amount, one.seconds)


def curves(*, rounds: int) -> list[Measurement]:
    """The measurements that the pictures show, each with a third of the turns."""
    few = max(1, rounds // 3)
    loads = [
        Measurement(f"{work}-{n}-clients", "throughput", work, _LOADED, few, n, _SECONDS / 2)
        for work in ("tiny", "mobilenet")
        for n in CLIENTS
    ]
    models = [Measurement(f"models-{n}", "models", "", _MANY, few, n) for n in MODELS]
    payloads = [
        Measurement(f"payload-{n}", "latency", f"payload-{n}", _moving(n), few, _calls_of(n))
        for n in SIZES
    ]
    return [*loads, *models, *payloads]


def _moving(size: int) -> tuple[str, ...]:
    """Who moves this much: the peers hold a gigabyte several times over."""
    return _MOVED if size < 1_000_000_000 else ("memcpy", "tls", OURS, OURS_LOCAL)


def _calls_of(size: int) -> int:
    if size < 1_000_000:
        return 20
    return 4 if size < 100_000_000 else 1
