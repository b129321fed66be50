"""Which graphs are evicted: idle ones, the least recently used first, no more than needed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from accel_daemon.accelerator.residency import Residency
from accel_protocol.errors import ModelError

CAPACITY = 100
GRAPHS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])


def loaded(*sizes: tuple[bytes, int], capacity: int | None = CAPACITY) -> Residency:
    """A residency in which these graphs were loaded in this order."""
    residency = Residency(capacity)
    for graph_id, size in sizes:
        residency.add(graph_id, size)
    return residency


def use(residency: Residency, graph_id: bytes) -> None:
    """Run one call on a graph."""
    residency.pin(graph_id)
    residency.unpin(graph_id)


@pytest.mark.parametrize(
    ("last", "evicted"), [(19, []), (20, []), (21, [b"a"]), (60, [b"a"]), (61, [b"a", b"b"])]
)
def test_no_more_is_evicted_than_needed(last: int, evicted: list[bytes]) -> None:
    """At the capacity all stay; one byte above it the oldest goes."""
    assert loaded((b"a", 40), (b"b", 40), (b"c", last)).to_evict() == evicted


def test_using_a_graph_keeps_it() -> None:
    """The order is that of the last use, not of loading."""
    residency = loaded((b"a", 40), (b"b", 40), (b"c", 40))
    use(residency, b"a")
    assert residency.to_evict() == [b"b"]


def test_a_graph_that_runs_is_not_evicted() -> None:
    """The next idle one goes instead."""
    residency = loaded((b"a", 60), (b"b", 60))
    residency.pin(b"b")
    residency.pin(b"a")
    residency.unpin(b"b")
    assert residency.to_evict() == [b"b"]


def test_when_all_run_nothing_is_evicted() -> None:
    """Rather above the capacity than a call that breaks."""
    residency = loaded((b"a", 90), (b"b", 90))
    residency.pin(b"a")
    residency.pin(b"b")
    assert residency.to_evict() == []


def test_every_call_pins_for_itself() -> None:
    """A graph with two calls is idle only when both have ended."""
    residency = loaded((b"a", 101))
    residency.pin(b"a")
    residency.pin(b"a")
    residency.unpin(b"a")
    assert residency.to_evict() == []
    residency.unpin(b"a")
    assert residency.to_evict() == [b"a"]


def test_without_a_capacity_nothing_is_evicted() -> None:
    """No bound of our own."""
    assert loaded((b"a", 2**60), (b"b", 2**60), capacity=None).to_evict() == []


def test_a_graph_above_the_capacity_alone_is_evicted_when_idle() -> None:
    """It could run while it was pinned, and does not stay."""
    assert loaded((b"a", CAPACITY + 1)).to_evict() == [b"a"]


def test_what_was_unloaded_does_not_count() -> None:
    """Removing makes room; removing what is not there does nothing."""
    residency = loaded((b"a", 60), (b"b", 60))
    residency.remove(b"a")
    residency.remove(b"never loaded")
    assert (residency.used_bytes, residency.to_evict()) == (60, [])


def test_less_room_than_before() -> None:
    """What no longer fits is to be evicted; with room again nothing is."""
    residency = loaded((b"a", 40), (b"b", 40))
    residency.set_pressure(79)
    assert residency.to_evict() == [b"a"]
    residency.set_pressure(0)
    assert residency.to_evict() == [b"a", b"b"]
    residency.set_pressure(80)
    assert residency.to_evict() == []
    residency.set_pressure(None)
    residency.add(b"c", 21)
    assert residency.to_evict() == [b"a"]


def test_what_does_not_fit_under_pressure_is_refused() -> None:
    """With both figures; what fits exactly still fits, and without pressure nothing is refused."""
    residency = Residency(CAPACITY)
    residency.check_pressure(2**60)
    residency.set_pressure(CAPACITY - 1)
    residency.check_pressure(CAPACITY - 1)
    with pytest.raises(ModelError) as caught:
        residency.check_pressure(CAPACITY)
    assert caught.value.reason == "MODEL_TOO_LARGE"
    assert caught.value.fields == {"needed_bytes": "100", "limit_bytes": "99"}
    residency.set_pressure(None)
    residency.check_pressure(2**60)


def sharing() -> Residency:
    """Two graphs that share 50 bytes, loaded first, and one of 40 that shares nothing."""
    residency = Residency(CAPACITY)
    residency.add(b"a", 45, "shared")
    residency.add(b"b", 50, "shared")
    residency.add(b"c", 40)
    return residency


def test_what_graphs_share_counts_once() -> None:
    """For the one that was loaded first, until it goes; as long as any is there."""
    residency = sharing()
    assert residency.used_bytes == 90
    assert [residency.bytes_of(one) for one in (b"a", b"b", b"c", b"d")] == [50, 0, 40, 0]
    assert (residency.bytes_with(b"b"), residency.bytes_together("shared")) == (50, 50)
    residency.remove(b"a")
    assert [residency.bytes_of(one) for one in (b"b", b"c")] == [50, 40]
    residency.add(b"a", 50, "shared")
    assert (residency.sharers_of("shared"), residency.used_bytes) == ([b"b", b"a"], 90)
    residency.remove(b"a")
    residency.remove(b"b")
    assert (residency.used_bytes, residency.bytes_together("shared")) == (40, 0)


def test_graphs_that_share_go_together() -> None:
    """One alone would free nothing; so a call on one keeps all of them."""
    residency = sharing()
    assert residency.to_evict(20) == [b"a", b"b"]
    residency.pin(b"b")
    assert residency.to_evict(70) == [b"c"]
    residency.unpin(b"b")
    assert residency.to_evict(20) == [b"c"]
    assert residency.to_evict(70) == [b"c", b"a", b"b"]


class Accounts(RuleBasedStateMachine):
    """Residency against a plain list in order of last use."""

    def __init__(self) -> None:
        super().__init__()
        self.residency = Residency(CAPACITY)
        self.sizes: dict[bytes, int] = {}
        self.order: list[bytes] = []
        self.pins: list[bytes] = []

    @rule(graph_id=GRAPHS, size=st.integers(0, 120))
    def load(self, graph_id: bytes, size: int) -> None:
        """A graph that is not loaded gets loaded."""
        if graph_id not in self.sizes:
            self.residency.add(graph_id, size)
            self.sizes[graph_id] = size
            self.order.append(graph_id)

    @rule(graph_id=GRAPHS)
    def begin(self, graph_id: bytes) -> None:
        """A call begins, on a graph that is loaded or is not any more."""
        self.residency.pin(graph_id)
        self.pins.append(graph_id)
        if graph_id in self.sizes:
            self.order.remove(graph_id)
            self.order.append(graph_id)

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """One of the calls ends."""
        self.residency.unpin(self.pins.pop(data.draw(st.integers(0, len(self.pins) - 1))))

    @rule(graph_id=GRAPHS)
    def unload(self, graph_id: bytes) -> None:
        """Someone unloads a graph."""
        self.residency.remove(graph_id)
        self.sizes.pop(graph_id, None)
        self.order = [other for other in self.order if other != graph_id]

    @rule()
    def evict(self) -> None:
        """Evict what is to be evicted; then the rest fits, or all of it runs."""
        for graph_id in self.residency.to_evict():
            self.unload(graph_id)
        idle = set(self.sizes) - set(self.pins)
        assert sum(self.sizes.values()) <= CAPACITY or not idle

    @invariant()
    def pinned_stay_and_the_oldest_go_first(self) -> None:
        """The chosen are idle, the oldest of the idle, and all of them are needed."""
        chosen = self.residency.to_evict()
        idle = [graph_id for graph_id in self.order if graph_id not in self.pins]
        assert chosen == idle[: len(chosen)]
        if chosen:
            kept = sum(self.sizes.values()) - sum(self.sizes[c] for c in chosen[:-1])
            assert kept > CAPACITY

    @invariant()
    def bytes_add_up(self) -> None:
        """What is used is the sum of what is loaded."""
        assert self.residency.used_bytes == sum(self.sizes.values())


Accounts.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
TestAccounts = Accounts.TestCase
