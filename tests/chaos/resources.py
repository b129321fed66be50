"""What processes use: descriptors, threads, children, memory, and files of a home."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.chaos.world import World

_MIB = 1 << 20
# Files that come with use, and are bounded elsewhere.
_USE = re.compile(r"store/|audit\.log|daemon\.log|lost\+found")


def measured(world: World) -> dict[str, float]:
    """What is used now, by name, for instance "daemon descriptors" or "accelerator 0 MiB"."""
    found = {f"daemon {k}": v for k, v in _process(world.daemon.process.pid).items()}
    for ordinal, pid in enumerate(world.pids):
        found |= {f"accelerator {ordinal} {k}": v for k, v in _process(pid).items()}
    found |= {f"client {k}": v for k, v in _process(psutil.Process().pid).items()}
    return found | _files(world.daemon.home)


def _process(pid: int) -> Mapping[str, float]:
    process = psutil.Process(pid)
    with process.oneshot():
        return {
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "children": len(process.children()),
            "MiB": round(process.memory_info().rss / _MIB, 1),
        }


def _files(home: Path) -> Mapping[str, float]:
    """How many files there are in each folder of a home, those of stores and logs apart."""
    folders: Counter[str] = Counter()
    for path in home.rglob("*"):
        name = str(path.relative_to(home))
        if not _USE.search(name) and not path.is_dir():
            folders[str(Path(name).parent)] += 1
    return {f"{folder} files": count for folder, count in folders.items()}
