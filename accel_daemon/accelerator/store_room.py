"""What to remove from a store that needs room: a pure decision.

Unfinished files that nobody is writing go first, the oldest first. Then what was used least
recently: graphs, each with the files that no other graph needs, and files that no graph asks for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What is removed."""

    PART = "part"
    BLOB = "blob"
    GRAPH = "graph"


@dataclass(frozen=True)
class StoredFile:
    """A file: its bytes, and when it was last written to or asked for, in seconds."""

    size: int
    used: float


@dataclass(frozen=True)
class StoredGraph:
    """A graph: its files' digests, when it was last used, in seconds, and its manifest's bytes."""

    files: frozenset[str]
    used: float
    size: int = 0


@dataclass(frozen=True)
class Contents:
    """All that a store holds.

    Attributes:
        parts, blobs: unfinished and whole files by digest.
        graphs: by id, in hexadecimal digits.
        needed: digests and ids that nothing may be removed of.
    """

    parts: Mapping[str, StoredFile] = field(default_factory=dict)
    blobs: Mapping[str, StoredFile] = field(default_factory=dict)
    graphs: Mapping[str, StoredGraph] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Removal:
    """One thing to remove; of a graph, also these blobs."""

    kind: Kind
    name: str
    blobs: tuple[str, ...]
    frees: int


def to_remove(contents: Contents, wanted_bytes: int) -> list[Removal]:
    """What makes room for so many bytes, in order; nothing at all when all of it would not do."""
    chosen: list[Removal] = []
    freed = 0
    for removal in _candidates(contents):
        if freed >= wanted_bytes:
            break
        chosen.append(removal)
        freed += removal.frees
    return chosen if freed >= wanted_bytes else []


def _candidates(contents: Contents) -> Iterator[Removal]:
    idle = {name: part for name, part in contents.parts.items() if name not in contents.needed}
    for name in sorted(idle, key=lambda name: (idle[name].used, name)):
        yield Removal(Kind.PART, name, (), idle[name].size)
    users = Counter(name for graph in contents.graphs.values() for name in graph.files)
    ages = [
        *((one.used, Kind.GRAPH, name) for name, one in contents.graphs.items()),
        *((one.used, Kind.BLOB, name) for name, one in contents.blobs.items() if not users[name]),
    ]
    for _, kind, name in sorted(ages, key=lambda one: (one[0], one[2])):
        if name in contents.needed:
            continue
        if kind is Kind.BLOB:
            yield Removal(kind, name, (name,), contents.blobs[name].size)
        else:
            yield _without_graph(contents, name, users)


def _without_graph(contents: Contents, name: str, users: Counter[str]) -> Removal:
    """The removal of a graph, which is then no longer among the users of its files."""
    files = contents.graphs[name].files
    users.subtract(files)
    alone = [sha for sha in sorted(files) if not users[sha] and sha not in contents.needed]
    blobs = tuple(sha for sha in alone if sha in contents.blobs)
    frees = contents.graphs[name].size + sum(contents.blobs[sha].size for sha in blobs)
    return Removal(Kind.GRAPH, name, blobs, frees)
