"""What a campaign does, as a function of its seed: faults at times, and each client's actions.

The same seed gives the same faults at the same times and the same sequence of actions for each
client. How far the clients come until a fault strikes is up to the machine.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

POOL = 6  # graphs that all clients of an accelerator share
UPLOADS = 1_000  # the numbers of the graphs that a client makes begin at a multiple of it


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        weight: how often it is chosen, among all weights.
        shortest, longest: seconds that it lasts.
        needs_disk: whether the daemon needs a file system of its own.
    """

    weight: float
    shortest: float = 0.0
    longest: float = 0.0
    needs_disk: bool = False


KINDS: Mapping[str, Kind] = {
    "cut": Kind(16),  # all connections, in the middle of whatever they carry
    "cut-after": Kind(12),  # the next connection, so many bytes on
    "stall": Kind(7, 0.2, 2.5),  # nothing passes
    "refuse": Kind(5, 0.2, 2.5),  # no connection is accepted
    "drop": Kind(9, 0.5, 4.0),  # calls are cut off, before or after their work
    "slow": Kind(5, 0.5, 3.0),  # messages take longer
    "unavailable": Kind(4, 0.3, 2.0),
    "expired": Kind(7, 0.2, 2.0),  # tickets, and signatures
    "skew": Kind(4, 0.5, 3.0),  # the daemon's clock is wrong, by seconds or by years
    "pressure": Kind(5, 0.5, 3.0),  # there is less memory for graphs
    "stop": Kind(8, 0.2, 3.0),  # SIGSTOP, then SIGCONT
    "freeze": Kind(0.5, 17.0, 19.0),  # for so long that the watchdog takes it for dead
    "kill": Kind(4),  # SIGKILL
    "rotate": Kind(5),  # other certificates
    "revoke": Kind(6, 1.0, 4.0),  # a client's key, which gets another one after so long
    "full-disk": Kind(5, 0.5, 4.0, needs_disk=True),
    "slow-disk": Kind(5, 0.2, 2.0, needs_disk=True),  # each write waits for so long
    "rot": Kind(6),  # a stored file has another byte
}


@dataclass(frozen=True)
class Strike:
    """A fault.

    Attributes:
        at: seconds after the campaign's beginning.
        kind: one of KINDS.
        accelerator: the ordinal of the one that is hit.
        seconds: how long it lasts.
        chance: of [0, 1), from which the fault takes what else it needs to know.
    """

    at: float
    kind: str
    accelerator: int
    seconds: float
    chance: float


@dataclass(frozen=True)
class Action:
    """What a client does next.

    Attributes:
        kind: one of the keys of RUNNER or COUNTER.
        graph: the number of a graph, where it concerns one.
        amount: of [0, 1), for instance how long to wait.
    """

    kind: str
    graph: int
    amount: float


RUNNER: Mapping[str, float] = {
    "run": 60,
    "loop": 8,  # a run that takes a while
    "deadline": 5,  # a run that is given no time to end
    "cancel": 6,
    "upload": 6,  # a graph that the accelerator has never seen
    "unload": 5,
    "present": 5,  # what is said to be there can be run
    "reconnect": 3,
    "pause": 10,
}
COUNTER: Mapping[str, float] = {"count": 80, "unload": 2, "reconnect": 2, "pause": 16}


def strikes(
    seed: int, seconds: float, per_second: float, accelerators: int, *, has_disk: bool
) -> tuple[Strike, ...]:
    """The faults of a campaign, in order: each kind at least once where time allows.

    Args:
        seed: decides everything.
        seconds: during which faults begin.
        per_second: faults.
        accelerators: how many there are.
        has_disk: whether the daemon has a file system of its own.
    """
    chance = random.Random(f"{seed}/strikes")
    kinds = {name: one for name, one in KINDS.items() if has_disk or not one.needs_disk}
    count = max(1, round(seconds * per_second))
    once = [name for name in kinds if kinds[name].longest < seconds * 2 / 3][:count]
    weights = [one.weight for one in kinds.values()]
    names = once + chance.choices(list(kinds), weights, k=count - len(once))
    chance.shuffle(names)
    times = sorted(chance.uniform(0, seconds) for _ in names)
    return tuple(
        Strike(
            at=round(at, 3),
            kind=name,
            accelerator=chance.randrange(accelerators),
            seconds=round(chance.uniform(kinds[name].shortest, kinds[name].longest), 3),
            chance=chance.random(),
        )
        for at, name in zip(times, names, strict=True)
    )


def actions(seed: int, client: int, kinds: Mapping[str, float]) -> Iterator[Action]:
    """What a client does, one after the other, without end.

    Args:
        seed: of the campaign.
        client: its number.
        kinds: RUNNER or COUNTER.
    """
    chance = random.Random(f"{seed}/client {client}")
    uploads = 0
    while True:
        (kind,) = chance.choices(list(kinds), list(kinds.values()))
        graph = chance.randrange(POOL)
        if kind == "upload":
            uploads += 1
            graph = UPLOADS * (client + 1) + uploads
        yield Action(kind, graph, chance.random())
