"""What the three readings of the clock show when somebody sets it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from accel_daemon.clock import Clock, JumpWatch, boot_id
from accel_protocol.elapsed import elapsed_seconds

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()


class Machine:
    """A machine whose clock can be set."""

    wall = NOON
    up = 500.0

    def clock(self, anchor: float | None = None) -> Clock:
        """A process's clock."""
        return Clock.start(anchor, lambda: self.wall, lambda: self.up)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.up += seconds


@pytest.mark.parametrize("jump", [-1e9, -3600.0, 0.0, 3600.0, 1e9])
def test_only_the_wall_clock_is_set(jump: float) -> None:
    """The steady one goes on, and what has elapsed has."""
    machine = Machine()
    clock = machine.clock()
    machine.wait(10)
    machine.wall += jump
    assert clock.wall() == NOON + 10 + jump
    assert clock.steady() == NOON + 10
    assert clock.elapsed() == 510


def test_processes_agree_whenever_they_start() -> None:
    """One that starts after the jump reads what the first one does."""
    machine = Machine()
    first = machine.clock()
    machine.wait(10)
    machine.wall -= 86_400
    later = machine.clock(first.anchor)
    machine.wait(5)
    assert later.steady() == first.steady() == NOON + 15
    assert later.wall() == first.wall() == NOON + 15 - 86_400


def test_skew_on_demand_is_a_jump() -> None:
    """It comes and goes, and the steady clock does not know of it."""
    skew = [0.0]
    clock = Machine().clock().skewed_by(lambda: skew[0])
    assert clock.wall() == clock.steady() == NOON
    skew[0] = 7200.0
    assert clock.now() == datetime(2026, 1, 31, 14, tzinfo=UTC)
    assert clock.steady_now() == datetime(2026, 1, 31, 12, tzinfo=UTC)
    skew[0] = 0.0
    assert clock.wall() == NOON


def test_this_machine_s_clocks() -> None:
    """What is read where nothing else is said."""
    clock = Clock.start()
    assert abs(clock.wall() - clock.steady()) < 1
    assert elapsed_seconds() <= elapsed_seconds()
    assert boot_id() == boot_id()
    assert "-" not in boot_id()


@pytest.mark.parametrize(
    ("jump", "noticed"), [(0, 0), (0.9, 0), (-0.9, 0), (1, 1), (-7200, -7200), (1e9, 1e9)]
)
def test_a_jump_is_noticed_once(jump: float, noticed: float) -> None:
    """Neither time that passes, nor what keeps a clock right, is one."""
    machine = Machine()
    watch = JumpWatch(machine.clock())
    machine.wait(86_400)
    assert watch.jumped() == 0
    machine.wall += jump
    assert watch.jumped() == noticed
    assert watch.jumped() == 0


def test_a_clock_that_runs_wrong_is_not_set() -> None:
    """Half a second again and again is no jump."""
    machine = Machine()
    watch = JumpWatch(machine.clock())
    for _ in range(10):
        machine.wall += 0.5
        assert watch.jumped() == 0
