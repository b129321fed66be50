"""What may be in an accelerator's memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.emulation import emulation_of
from accel_daemon.accelerator.memory import AcceleratorMemory
from accel_protocol.errors import BusyError, ModelError

GIB = 1 << 30
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def one_gib(**loaded: int) -> AcceleratorMemory:
    """An eia1.medium with graphs of these sizes, by letter."""
    memory = AcceleratorMemory(None, emulation_of("eia1.medium"))
    for name, size in loaded.items():
        memory.residency.add(name.encode() * 32, size)
    return memory


def test_the_host_refuses_nothing() -> None:
    """Above its capacity it evicts, and that is decided after loading."""
    memory = AcceleratorMemory(10)
    assert memory.admit_graph(A, 100) == []
    assert memory.admit_run(A, 100) == []
    memory.check_remembered(A)


def test_a_graph_of_exactly_the_memory_fits() -> None:
    """One byte more does not."""
    assert one_gib().admit_graph(A, GIB) == []
    with pytest.raises(ModelError):
        one_gib().admit_graph(A, GIB + 1)


def test_a_refused_graph_is_remembered() -> None:
    """The second time costs nothing and says the same; others are not concerned."""
    memory = one_gib()
    with pytest.raises(ModelError) as first:
        memory.admit_graph(A, 2 * GIB)
    with pytest.raises(ModelError) as second:
        memory.check_remembered(A)
    assert second.value.fields == first.value.fields
    memory.check_remembered(B)


def test_idle_graphs_make_room_oldest_first() -> None:
    """Only as many as needed."""
    memory = one_gib(a=GIB // 2, b=GIB // 4, c=GIB // 4)
    assert memory.admit_graph(b"d" * 32, GIB // 2) == [A]
    assert memory.admit_graph(b"d" * 32, GIB // 2 + 1) == [A, B]


def test_a_graph_waits_for_those_that_run() -> None:
    """It would fit alone, so it is refused for now and not for good."""
    memory = one_gib(a=GIB)
    memory.residency.pin(A)
    with pytest.raises(BusyError) as caught:
        memory.admit_graph(B, 1)
    assert int(caught.value.fields["retry_after_ms"]) > 0
    memory.residency.unpin(A)
    assert memory.admit_graph(B, 1) == [A]


def test_a_run_needs_room_beside_its_graph() -> None:
    """For good when both do not fit alone."""
    memory = one_gib(a=GIB // 2)
    memory.residency.pin(A)
    assert memory.admit_run(A, GIB // 2) == []
    with pytest.raises(ModelError):
        memory.admit_run(A, GIB // 2 + 1)


def test_runs_at_one_time_share_the_memory() -> None:
    """The second waits until the first is over."""
    memory = one_gib(a=GIB // 2)
    memory.residency.pin(A)
    with memory.residency.running(GIB // 2), pytest.raises(BusyError):
        memory.admit_run(A, 1)
    assert memory.admit_run(A, 1) == []


def test_files_say_nothing_about_an_emulated_type() -> None:
    """They hold more than the wanted graph; on the host they are all that is known."""
    emulated, host = one_gib(), AcceleratorMemory(None)
    for memory in (emulated, host):
        memory.residency.set_pressure(GIB)
    emulated.check_files(2 * GIB)
    with pytest.raises(ModelError):
        host.check_files(GIB + 1)


def test_what_pressure_leaves_bounds_an_emulated_type() -> None:
    """Graphs and runs that would fit without it are refused, and fit again afterwards."""
    memory = one_gib(a=GIB // 4)
    memory.residency.set_pressure(GIB // 2)
    with pytest.raises(ModelError) as graph:
        memory.admit_graph(B, GIB // 2 + 1)
    assert graph.value.fields["limit_bytes"] == str(GIB // 2)
    with pytest.raises(ModelError):
        memory.admit_run(A, GIB // 4 + 1)
    memory.residency.set_pressure(None)
    memory.check_remembered(B)
    assert memory.admit_graph(B, GIB // 2 + 1) == []


@given(
    st.lists(st.integers(0, GIB), max_size=6),
    st.integers(0, 2 * GIB),
    st.sets(st.integers(0, 5)),
)
def test_what_is_admitted_fits(sizes: list[int], needed: int, pinned: set[int]) -> None:
    """After the evictions everything together is within the memory, and nothing pinned is gone."""
    memory = AcceleratorMemory(None, emulation_of("eia1.medium"))
    for number, size in enumerate(sizes):
        if memory.residency.has_room(size):
            memory.residency.add(bytes([number]), size)
            if number in pinned:
                memory.residency.pin(bytes([number]))
    try:
        victims = memory.admit_graph(b"new", needed)
    except (ModelError, BusyError):
        return
    assert not {bytes([number]) for number in pinned} & set(victims)
    for victim in victims:
        memory.residency.remove(victim)
    assert memory.residency.used_bytes + needed <= GIB
