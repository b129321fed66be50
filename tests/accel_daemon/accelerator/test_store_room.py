"""What is removed from a store that needs room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.store_room import (
    Contents,
    Kind,
    StoredFile,
    StoredGraph,
    to_remove,
)

PARTS = {"p1": StoredFile(10, used=9.0), "p2": StoredFile(10, used=1.0)}
BLOBS = {name: StoredFile(10, used=0.0) for name in ("a", "b", "shared")}
GRAPHS = {
    "old": StoredGraph(frozenset({"a", "shared"}), used=2.0),
    "new": StoredGraph(frozenset({"b", "shared"}), used=5.0),
}


def removed(wanted: int, needed: frozenset[str] = frozenset()) -> list[tuple[Kind, str, int]]:
    """What makes room for so many bytes."""
    contents = Contents(PARTS, BLOBS, GRAPHS, needed)
    return [(one.kind, one.name, one.frees) for one in to_remove(contents, wanted)]


def test_unfinished_files_go_first() -> None:
    """The oldest of them first, and no more than is needed."""
    assert removed(1) == [(Kind.PART, "p2", 10)]
    assert removed(20) == [(Kind.PART, "p2", 10), (Kind.PART, "p1", 10)]


def test_then_graphs_that_were_not_used_for_longest() -> None:
    """With the files that no other graph needs: a shared one goes with the last of them."""
    assert removed(30)[2:] == [(Kind.GRAPH, "old", 10)]
    assert removed(50)[2:] == [(Kind.GRAPH, "old", 10), (Kind.GRAPH, "new", 20)]


def test_what_is_needed_stays() -> None:
    """A file that arrives, and a graph that is loaded."""
    assert removed(20, frozenset({"p2", "old"})) == [
        (Kind.PART, "p1", 10),
        (Kind.GRAPH, "new", 10),
    ]


def test_nothing_is_removed_in_vain() -> None:
    """When all of it would not make room enough."""
    assert removed(51) == []
    assert removed(31, frozenset({"old", "new"})) == []


@given(st.integers(0, 80), st.frozensets(st.sampled_from(["p1", "p2", "a", "b", "old", "new"])))
def test_room_is_made_or_nothing_is_touched(wanted: int, needed: frozenset[str]) -> None:
    """Whatever is needed, and however much is wanted."""
    chosen = to_remove(Contents(PARTS, BLOBS, GRAPHS, needed), wanted)
    assert not needed & {name for one in chosen for name in (one.name, *one.blobs)}
    freed = sum(one.frees for one in chosen)
    assert freed >= wanted or chosen == []
