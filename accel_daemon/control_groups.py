"""Which of the system's files tell how much memory this process's control groups may take. Pure.

A process is in one group for memory, whose bound and those of all groups above it hold for it.
Version 1 and version 2 of control groups call the files differently. In a container the group that
a process is in is often what is mounted, and its path on the host means nothing inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

MEMBERSHIP, MOUNTS = "/proc/self/cgroup", "/proc/self/mountinfo"
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class MemoryGroup:
    """The files of one group.

    Attributes:
        limit, usage: files of one number of bytes; a limit may be "max".
        statistics: a file of lines with a name and a number each.
        reclaimable: the name there of what the kernel takes back before it ends anyone.
    """

    limit: str
    usage: str
    statistics: str
    reclaimable: str

    @property
    def files(self) -> tuple[str, ...]:
        """All of them."""
        return (self.limit, self.usage, self.statistics)


def memory_groups(membership: str, mounts: str) -> tuple[MemoryGroup, ...]:
    """The group of this process and those above it, innermost first.

    Args:
        membership: what MEMBERSHIP holds.
        mounts: what MOUNTS holds.
    """
    return tuple(
        _group(folder, version)
        for version, root, mounted in _hierarchies(mounts)
        for path in _paths(membership, version)
        for folder in _folders(path, root, mounted)
    )


def _group(folder: PurePosixPath, version: int) -> MemoryGroup:
    names, reclaimable = (
        (("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file")
        if version == 1
        else (("memory.max", "memory.current"), "inactive_file")
    )
    limit, usage, statistics = (str(folder / name) for name in (*names, "memory.stat"))
    return MemoryGroup(limit, usage, statistics, reclaimable)


def _hierarchies(mounts: str) -> Iterator[tuple[int, str, str]]:
    """Version, root and mount point of each mount that may have groups for memory."""
    for line in mounts.splitlines():
        front, _, back = line.partition(" - ")
        first, last = front.split(), back.split()
        if len(first) < 6 or len(last) < 3:
            continue
        root, mounted = _unescaped(first[3]), _unescaped(first[4])
        if last[0] == "cgroup2":
            yield 2, root, mounted
        elif last[0] == "cgroup" and "memory" in last[2].split(","):
            yield 1, root, mounted


def _paths(membership: str, version: int) -> Iterator[str]:
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_ours = "memory" in controllers.split(",") if version == 1 else hierarchy == "0"
        if is_ours and path.startswith("/"):
            yield path


def _folders(path: str, root: str, mounted: str) -> Iterator[PurePosixPath]:
    """From the group's folder up to the mount point."""
    inside = PurePosixPath(path)
    below = inside.relative_to(root) if inside.is_relative_to(root) else PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    for depth in range(len(below.parts), -1, -1):
        yield PurePosixPath(mounted, *below.parts[:depth])


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
