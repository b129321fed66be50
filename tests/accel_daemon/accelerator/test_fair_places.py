"""Who gets the next place to run."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.fair_places import FairPlaces, Verdict

GREEDY, SMALL = b"greedy", b"small"


def full(places: int, queued: int) -> FairPlaces[int]:
    """All places taken and the queue full of one graph's calls."""
    fair = FairPlaces[int](places, queued)
    verdicts = [fair.enter(GREEDY, number) for number in range(places + queued)]
    assert verdicts == [Verdict.RUN] * places + [Verdict.WAIT] * queued
    return fair


def test_a_full_queue_refuses_who_filled_it() -> None:
    """One above is sent away."""
    assert full(2, 8).enter(GREEDY, 99) is Verdict.REFUSE


def test_a_full_queue_has_a_reserve_for_others() -> None:
    """A quarter, and then it is over for everyone."""
    fair = full(2, 8)
    verdicts = [fair.enter(SMALL, 100 + number) for number in range(3)]
    assert verdicts == [Verdict.WAIT, Verdict.WAIT, Verdict.REFUSE]


def test_graphs_take_turns() -> None:
    """Inside a graph the first come is the first served."""
    fair = full(1, 4)
    fair.enter(SMALL, 100)
    assert [fair.leave() for _ in range(6)] == [1, 100, 2, 3, 4, None]


def test_hints_follow_the_queue() -> None:
    """Longer for a longer queue and slower runs, within bounds."""
    quick, slow = full(1, 10), full(1, 10)
    for _ in range(50):
        quick.took(0.0)
        slow.took(0.1)
    assert quick.retry_after_ms == 50
    assert 900 <= slow.retry_after_ms <= 1000
    for _ in range(50):
        slow.took(1000.0)
    assert slow.retry_after_ms == 5000


STEPS = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "give up"]), st.sampled_from([b"a", b"b", b"c"])),
    max_size=60,
)


@given(STEPS, st.integers(1, 3), st.integers(0, 8))
def test_no_sequence_loses_a_place(
    steps: list[tuple[str, bytes]], places: int, queued: int
) -> None:
    """Places are taken or free; who waits is counted, and gets a place within a round."""
    fair, numbers = FairPlaces[int](places, queued), count()
    running, waiting = 0, dict[int, bytes]()
    for step, graph in steps:
        if step == "enter":
            number = next(numbers)
            verdict = fair.enter(graph, number)
            running += verdict is Verdict.RUN
            if verdict is Verdict.WAIT:
                waiting[number] = graph
        elif step == "leave" and running:
            came = fair.leave()
            running -= came is None
            assert (came is None) == (not waiting)
            waiting.pop(came, None) if came is not None else None
        elif step == "give up" and waiting:
            number, graph = waiting.popitem()
            fair.give_up(graph, number)
        assert running <= places
        assert fair.waiting == len(waiting) <= queued + queued // 4
        assert not waiting or running == places
    while running:
        running -= fair.leave() is None
    assert fair.waiting == 0
    assert all(fair.enter(b"d", 0) is Verdict.RUN for _ in range(places))
