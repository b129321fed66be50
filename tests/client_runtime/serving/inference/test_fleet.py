"""Where models go, and when a graph is unloaded."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import AccessDeniedError, BusyError, ConnectionLostError
from client_runtime.serving.inference import placement
from client_runtime.serving.inference.fleet import Fleet, Seat
from client_runtime.serving.inference.options import ALL_ACCELERATORS, InferenceOptions
from client_runtime.serving.inference.replicas import Replica
from client_runtime.serving.servable import Bounds


class Connection:
    """An attachment that can be had, or cannot."""

    def __init__(self, id_: str, error: Exception | None = None) -> None:
        self.id, self.error = id_, error
        self.unloaded: list[bytes] = []
        self.waits = 0

    @property
    def accelerator_id(self) -> str:
        """See `Attachment.accelerator_id`."""
        if self.error is not None:
            raise self.error
        return self.id

    def capabilities(self) -> None:
        """See `Attachment.capabilities`: waits until it can be had."""
        self.waits += 1
        if not isinstance(self.error, BusyError):
            assert self.error is not None
            raise self.error

    def prepare(self, bundle: object, call: object) -> int:
        """See `Attachment.prepare`: the connection ends meanwhile."""
        raise ConnectionLostError("cut")

    def unload(self, graph_id: bytes, timeout: float) -> None:
        """See `Attachment.unload`."""
        if self.error is not None:
            raise self.error
        self.unloaded.append(graph_id)


def fleet(*connections: Connection) -> Fleet:
    """Of these accelerators."""
    by_id = {one.id: one for one in connections}
    attach: Callable[[str], Any] = by_id.__getitem__
    return Fleet(lambda: list(by_id), attach)


def ids(seats: list[Seat]) -> list[str]:
    """Of their accelerators."""
    return [seat.accelerator for seat in seats]


def test_models_go_to_the_least_loaded_accelerator() -> None:
    """By bytes; in the listed order where that is equal; what left does not count any more."""
    placed = fleet(Connection("a"), Connection("b"))
    first = placed.place(10, 1)
    assert [ids(first), ids(placed.place(4, 1)), ids(placed.place(4, 1))] == [["a"], ["b"], ["b"]]
    placed.leave(first[0], 10)
    assert ids(placed.place(1, 1)) == ["a"]


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [(1, ["a"]), (2, ["a", "b"]), (9, ["a", "b", "c"]), (ALL_ACCELERATORS, ["a", "b", "c"])],
)
def test_replicas_are_on_accelerators_of_their_own(replicas: int, expected: list[str]) -> None:
    """As many as are wanted, or as there are."""
    assert ids(fleet(*map(Connection, "abc")).place(1, replicas)) == expected


def test_one_that_cannot_be_had_is_passed_over() -> None:
    """Another tenant has it, or it restarts; it is tried again for the next model."""
    busy = Connection("a", BusyError("another's"))
    placed = fleet(busy, Connection("b"))
    assert ids(placed.place(5, ALL_ACCELERATORS)) == ["b"]
    busy.error = None
    assert ids(placed.place(1, 1)) == ["a"]


def test_where_none_can_be_had_one_is_waited_for() -> None:
    """With the connection's patience; in vain, nothing stays placed there."""
    busy = Connection("a", BusyError("another's"))
    placed = fleet(busy)
    assert (ids(placed.place(5, 1)), busy.waits) == (["a"], 1)
    busy.error = ConnectionLostError("gone")
    placed = fleet(busy, Connection("b", ConnectionLostError("gone")))
    with pytest.raises(ConnectionLostError):
        placed.place(5, 1)
    assert set(placed._bytes.values()) == {0}


def test_other_errors_are_told() -> None:
    """Whoever is refused everywhere has to know why."""
    with pytest.raises(AccessDeniedError):
        fleet(Connection("a", AccessDeniedError("no"))).place(1, 1)


def test_a_graph_is_unloaded_when_nobody_uses_it_any_more() -> None:
    """Counted for each accelerator; one that is gone has unloaded it anyway."""
    here, there = Connection("a"), Connection("b")
    placed = fleet(here, there)
    one, other = placed.place(1, ALL_ACCELERATORS)
    for seat in (one, one, other):
        placed.hold(seat, b"g")
    placed.release(one, b"g")
    assert (here.unloaded, there.unloaded) == ([], [])
    placed.release(one, b"g")
    assert (here.unloaded, there.unloaded) == ([b"g"], [])
    there.error = ConnectionLostError("gone")
    placed.release(other, b"g")
    assert there.unloaded == []


@given(in_flight=st.lists(st.integers(0, 5), min_size=1, max_size=6), turn=st.integers(0, 99))
def test_a_run_goes_to_a_replica_with_the_fewest(in_flight: list[int], turn: int) -> None:
    """And the equally busy take turns."""
    chosen = placement.least_busy(in_flight, turn)
    assert in_flight[chosen] == min(in_flight)
    turns = {placement.least_busy(in_flight, turn + n) for n in range(len(in_flight))}
    assert turns == {n for n, count in enumerate(in_flight) if count == min(in_flight)}


def test_a_models_own_count_of_replicas_comes_before_the_default() -> None:
    """By its name."""
    options = InferenceOptions(replicas={"m": 3}, default_replicas=2)
    assert (options.replicas_of("m"), options.replicas_of("n")) == (3, 2)


def test_a_graph_that_cannot_be_loaded_is_not_held() -> None:
    """Else each request for it would leave something behind."""
    one = Connection("a")
    chosen = fleet(one)
    replica = Replica(chosen, chosen.place(1, 1)[0])
    graph: Any = SimpleNamespace(bundle=SimpleNamespace(graph_id=b"g"), model=None)

    with pytest.raises(ConnectionLostError):
        replica.run_extra(graph, {}, Bounds())
    replica.unload()

    assert one.unloaded == []
