"""When the emulated device would have answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.accelerator.pacing import Pacer

RUNS = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=20)


def test_a_fast_host_waits_for_the_rest() -> None:
    """2 s on the device, 0.5 s on the host: 1.5 s are left."""
    turn = Pacer().enter(10.0, 2.0)
    assert turn.wait(10.5) == 1.5


def test_a_slow_host_adds_nothing() -> None:
    """2 s on the device, 3 s on the host."""
    turn = Pacer().enter(10.0, 2.0)
    assert turn.wait(13.0) == 0.0


def test_runs_share_the_device() -> None:
    """Two at one time take as long as one after the other."""
    pacer = Pacer()
    assert [pacer.enter(10.0, 2.0).wait(10.0) for _ in range(2)] == [2.0, 4.0]


def test_an_idle_device_saves_no_time_up() -> None:
    """A run after a break begins when it arrives."""
    pacer = Pacer()
    pacer.enter(10.0, 1.0)
    assert pacer.enter(20.0, 2.0).ends == 22.0


def test_a_run_given_up_frees_the_rest_of_its_turn() -> None:
    """Also when it had not begun."""
    pacer = Pacer()
    first = pacer.enter(10.0, 5.0)
    second = pacer.enter(10.0, 5.0)
    pacer.leave(second, 11.0)
    assert pacer.enter(11.0, 1.0).begins == first.ends


def test_a_run_given_up_frees_nothing_that_others_wait_behind() -> None:
    """Their turns are promised already."""
    pacer = Pacer()
    first, second = pacer.enter(10.0, 5.0), pacer.enter(10.0, 5.0)
    pacer.leave(first, 11.0)
    assert pacer.enter(11.0, 1.0).begins == second.ends


@given(RUNS)
def test_turns_never_overlap(runs: list[tuple[float, float]]) -> None:
    """The device is never faster than its throughput, however runs arrive."""
    pacer, now, before = Pacer(), 0.0, 0.0
    for pause, seconds in runs:
        now += pause
        turn = pacer.enter(now, seconds)
        assert turn.begins >= max(now, before)
        assert turn.ends == turn.begins + seconds
        before = turn.ends
