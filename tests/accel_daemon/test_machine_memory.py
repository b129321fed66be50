"""How much memory is left for a process."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from accel_daemon.machine_memory import Bound, MachineMemory, Memory

MIB, GIB = 1 << 20, 1 << 30
V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"


def machine(root: Path, gibibytes: int = 32, available: int = 16) -> Path:
    """The files of a machine with so much memory, whose process is in the group /a/b."""
    kibibytes = 1 << 20
    write(root / "proc/meminfo", f"MemTotal: {gibibytes * kibibytes} kB\nMemFree: 1 kB\n")
    with (root / "proc/meminfo").open("a") as file:
        file.write(f"MemAvailable: {available * kibibytes} kB\nHugePages_Total: 0\n")
    write(root / "proc/self/cgroup", "0::/a/b\n")
    write(root / "proc/self/mountinfo", V2)
    return root


def group(root: Path, name: str, limit: str, usage: int = 0, inactive: int = 0) -> None:
    """The files of a group."""
    folder = root / "sys/fs/cgroup" / name
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{usage}\n")
    write(folder / "memory.stat", f"anon 1\nfile 7\ninactive_file {inactive}\n")


def write(path: Path, text: str) -> None:
    """Write a file, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_without_groups(tmp_path: Path) -> None:
    """What the kernel says is available; a group without a bound changes nothing."""
    group(machine(tmp_path), "a/b", "max")
    memory = MachineMemory(root=tmp_path)
    assert memory.look() == Memory((Bound(32 * GIB, 16 * GIB),))
    assert memory.group_files == ()


def test_a_group_bounds_its_process(tmp_path: Path) -> None:
    """Of what it takes, files that were read and are not in use can be taken back."""
    group(machine(tmp_path), "a/b", str(4 * GIB), usage=3 * GIB, inactive=GIB)
    memory = MachineMemory(root=tmp_path)
    look = memory.look()
    assert look.bounds == (Bound(32 * GIB, 16 * GIB), Bound(4 * GIB, 2 * GIB))
    assert (look.total, look.room) == (4 * GIB, 2 * GIB - 256 * MIB)
    assert len(memory.group_files) == 3


def test_a_group_above_bounds_it_too(tmp_path: Path) -> None:
    """The narrowest counts."""
    root = machine(tmp_path)
    group(root, "a/b", str(8 * GIB), usage=GIB)
    group(root, "a", str(9 * GIB), usage=8 * GIB)
    assert MachineMemory(root=root).look().room == GIB - 9 * GIB // 16


def test_a_machine_that_has_less_left_than_its_group(tmp_path: Path) -> None:
    """A group promises nothing."""
    root = machine(tmp_path, available=1)
    group(root, "a/b", str(8 * GIB))
    assert MachineMemory(root=root).look().room == GIB - 2 * GIB


def test_a_group_that_may_have_more_than_there_is(tmp_path: Path) -> None:
    """As those of version 1 that have no bound, whose figure is enormous."""
    group(machine(tmp_path), "a/b", str(32 * GIB), usage=31 * GIB)
    assert MachineMemory(root=tmp_path).group_files == ()


def test_a_group_that_vanishes(tmp_path: Path) -> None:
    """Then the machine's bound is left."""
    root = machine(tmp_path)
    group(root, "a/b", str(8 * GIB))
    memory = MachineMemory(root=root)
    (root / "sys/fs/cgroup/a/b/memory.current").unlink()
    assert len(memory.look().bounds) == 1


def test_a_limit_of_its_own(tmp_path: Path) -> None:
    """What the process has for itself counts; what is over the limit leaves less than nothing."""
    write(machine(tmp_path) / "proc/self/statm", "900 500 200 1 0 300 0\n")
    taken = 300 * mmap.PAGESIZE
    look = MachineMemory(GIB, root=tmp_path).look()
    assert look.bounds[1] == Bound(GIB, GIB - taken, is_wall=False)
    assert MachineMemory(1, root=tmp_path).look().bounds[1].left == 1 - taken


@pytest.mark.parametrize(
    ("total", "reserve"),
    [(GIB, 256 * MIB), (16 * GIB, GIB), (32 * GIB, 2 * GIB), (1024 * GIB, 2 * GIB)],
)
def test_the_reserve(total: int, reserve: int) -> None:
    """A sixteenth, within bounds."""
    assert Bound(total, 0).reserve == reserve
    assert Bound(total, reserve).room == 0


def test_what_is_critical() -> None:
    """Half of the reserve of any bound; an untouched or a little touched reserve is not."""
    enough = Bound(16 * GIB, 8 * GIB)
    assert not Memory((enough, Bound(16 * GIB, GIB // 2))).is_critical
    assert Memory((enough, Bound(16 * GIB, GIB // 2 - 1))).is_critical
    limit = Memory((enough, Bound(16 * GIB, GIB // 2 - 1, is_wall=False)))
    assert limit.is_overdrawn
    assert not limit.is_critical


def test_what_is_acute() -> None:
    """Where the kernel would end someone soon; a limit of one's own is none of its."""
    assert not Memory((Bound(16 * GIB, GIB // 8),)).is_acute
    assert Memory((Bound(16 * GIB, GIB // 8 - 1),)).is_acute
    assert not Memory((Bound(16 * GIB, -GIB, is_wall=False),)).is_acute


def test_this_machine() -> None:
    """Memory that this process takes is seen."""
    memory = MachineMemory()
    before = memory.taken()
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        for offset in range(0, len(taken), mmap.PAGESIZE):
            taken[offset] = 1
        assert memory.taken() - before > 60 * MIB
    look = memory.look()
    assert 0 < look.bounds[0].left < look.bounds[0].total
