"""What may be in an accelerator's memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.emulation import emulation_of
from accel_daemon.accelerator.memory import AcceleratorMemory, needed_on_host, ran_out
from accel_protocol.errors import BusyError, ModelError
from accel_protocol.manifest import BundleFile

GIB = 1 << 30
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32


def one_gib(**loaded: int) -> AcceleratorMemory:
    """An eia1.medium with graphs of these sizes, by letter."""
    memory = AcceleratorMemory(None, emulation_of("eia1.medium"))
    for name, size in loaded.items():
        memory.residency.add(name.encode() * 32, size)
    return memory


def host(**loaded: int) -> AcceleratorMemory:
    """A host with graphs of these sizes, by letter."""
    memory = AcceleratorMemory(None)
    for name, size in loaded.items():
        memory.residency.add(name.encode() * 32, size)
    return memory


def test_the_host_estimates_no_run() -> None:
    """What runs take is watched instead."""
    memory = AcceleratorMemory(10)
    assert memory.admit_run(A, 100) == []
    memory.check_remembered(A)


def test_a_graph_that_has_room_on_the_host() -> None:
    """Nothing is unloaded for it, up to the last byte."""
    assert host(a=GIB).admit_on_host(100, 100) == []


def test_idle_graphs_make_room_on_the_host() -> None:
    """The oldest first, and no more than needed."""
    memory = host(a=10, b=20, c=30)
    assert memory.admit_on_host(110, 100) == [A]
    assert memory.admit_on_host(111, 100) == [A, B]
    assert memory.admit_on_host(25, -5) == [A, B]


def test_what_the_host_has_no_room_for_is_refused() -> None:
    """Not even without all others; it says what was needed and what there is."""
    memory = host(a=10, b=20)
    memory.residency.pin(B)
    assert memory.admit_on_host(110, 100) == [A]
    with pytest.raises(ModelError) as caught:
        memory.admit_on_host(131, 100)
    assert caught.value.reason == "MODEL_TOO_LARGE"
    assert caught.value.fields == {
        "needed_bytes": "131",
        "limit_bytes": "130",
        "accelerator_type": "host",
    }
    assert "smaller model" in caught.value.remedy


def test_a_host_without_any_room() -> None:
    """Others have taken the reserve: no limit is negative."""
    with pytest.raises(ModelError) as caught:
        host().admit_on_host(1, -GIB)
    assert caught.value.fields["limit_bytes"] == "0"


def test_a_graph_waits_for_those_that_run_on_the_host() -> None:
    """Without them it would fit."""
    memory = host(a=10, b=20)
    memory.residency.pin(B)
    with pytest.raises(BusyError):
        memory.admit_on_host(130, 100)
    memory.residency.unpin(B)
    assert memory.admit_on_host(130, 100) == [A, B]


def test_a_graph_waits_for_what_runs_have_taken_on_the_host() -> None:
    """While runs end, nobody knows how much room there will be."""
    memory = host(a=10)
    with pytest.raises(BusyError):
        memory.admit_on_host(111, 100, is_freeing=True)
    assert memory.admit_on_host(110, 100, is_freeing=True) == [A]


def test_what_a_graph_needs_on_the_host() -> None:
    """Constants stand in definitions, of which there are several copies; variables do not."""
    files = [
        BundleFile("saved_model.pb", 10, ""),
        BundleFile("variables/variables.data-00000-of-00001", 1000, ""),
        BundleFile("assets/words.txt", 100, ""),
    ]
    assert needed_on_host(files) == 1140
    assert needed_on_host([BundleFile("graph.pb", 25, "")]) == 100


def test_who_is_stopped_for_want_of_memory_is_told_the_growth() -> None:
    """With the reason that emulated types use."""
    error = ran_out(3 * GIB)
    assert error.reason == "MODEL_TOO_LARGE"
    assert "3072 MiB" in error.message
    assert "smaller feeds" in error.remedy


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
    emulated, real = one_gib(), AcceleratorMemory(None)
    for memory in (emulated, real):
        memory.residency.set_pressure(GIB)
    emulated.check_files(2 * GIB)
    with pytest.raises(ModelError):
        real.check_files(GIB + 1)


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


@given(st.lists(st.integers(0, 100), max_size=6), st.integers(0, 500), st.integers(-50, 300))
def test_what_is_admitted_on_the_host_fits(sizes: list[int], needed: int, room: int) -> None:
    """Once everything that it asks for is unloaded, and unloading frees what was counted."""
    memory = AcceleratorMemory(None)
    for number, size in enumerate(sizes):
        memory.residency.add(bytes([number]), size)
    try:
        victims = memory.admit_on_host(needed, room)
    except ModelError:
        assert needed > room + sum(sizes)
        return
    freed = sum(map(memory.residency.bytes_of, victims))
    assert needed <= room + freed
    assert victims == [] or needed > room + freed - memory.residency.bytes_of(victims[-1])


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
