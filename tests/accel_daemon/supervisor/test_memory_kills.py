"""The kernel's count of processes that it ended for want of memory."""

from __future__ import annotations

import pytest

from accel_daemon.supervisor.memory_kills import MemoryKills, oom_kills, read_vmstat

VMSTAT = "pgfault 12\noom_kill 3\nnuma_hit 4\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [(VMSTAT, 3), ("", None), ("oom_kill_disable 1\n", None), ("oom_kill many\n", None)],
)
def test_the_count_is_read(text: str, count: int | None) -> None:
    """From among the kernel's other counts, where it is there."""
    assert oom_kills(text) == count


def test_this_kernel_counts() -> None:
    """Linux does since 4.13."""
    assert oom_kills(read_vmstat()) is not None


def told(*counts: tuple[float, int | None]) -> bool:
    """Whether it happened by the last of these moments, each with the count there was."""
    texts = iter("" if count is None else f"oom_kill {count}" for _, count in counts)
    kills = MemoryKills(lambda: next(texts))
    for now, _ in counts[:-1]:
        kills.look(now)
    return kills.happened(counts[-1][0])


@pytest.mark.parametrize(
    ("counts", "happened"),
    [
        ([(0.0, 3), (1.0, 4)], True),
        ([(0.0, 3), (1.0, 4), (8.0, 4)], True),
        ([(0.0, 3), (1.0, 3)], False),
        ([(0.0, 3)], False),
        ([(0.0, 3), (1.0, 4), (12.0, 4), (30.0, 4)], False),
        ([(0.0, 3), (500.0, 4)], True),  # nobody looked meanwhile: at worst a strike too many
        ([(0.0, None), (1.0, None)], False),
    ],
)
def test_a_rise_counts_for_some_seconds(
    counts: list[tuple[float, int | None]], happened: bool
) -> None:
    """An old one has to do with another process."""
    assert told(*counts) is happened


def test_looks_are_forgotten() -> None:
    """A process may run for years."""
    kills = MemoryKills(lambda: VMSTAT)
    for moment in range(10_000):
        kills.look(moment / 2)
    assert len(kills._seen) < 30
