"""The folders of a store: what is in them, and removing from them what a decision named."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from accel_daemon.accelerator.store_room import Contents, Kind, Removal, StoredFile, StoredGraph
from accel_protocol import manifest as manifests
from accel_protocol.errors import AcceleratorError
from accel_protocol.limits import Limits

_DIGEST = re.compile("[0-9a-f]{64}")


class StoreFolders:
    """The four folders of a store below `root`; see `store` for what is in them."""

    def __init__(self, root: Path) -> None:
        self.blobs = root / "blobs"
        self.partial = root / "partial"
        self.manifests = root / "manifests"
        self.bundles = root / "bundles"

    def make(self) -> None:
        """Make those that are not there."""
        for folder in (self.blobs, self.partial, self.manifests, self.bundles):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what a process left that ended while it wrote: files of names that nothing has.

        Also folders of bundles whose graph is gone: their links would keep removed files' bytes.
        """
        for folder in (self.blobs, self.partial, self.manifests):
            for path in folder.iterdir():
                if not _DIGEST.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        for path in self.bundles.iterdir():
            if not (self.manifests / path.name).is_file():
                shutil.rmtree(path, ignore_errors=True)


def contents(
    folders: StoreFolders,
    limits: Limits | None,
    needed: frozenset[str] = frozenset(),
    used: Mapping[str, float] | None = None,
) -> Contents:
    """All that is in the folders; graphs only with the limits that their manifests obey.

    Args:
        folders: where to look.
        limits: for reading manifests; None to leave graphs out.
        needed: see `Contents`.
        used: when graphs were used by this process; before it, loading them tells.
    """
    graphs = {}
    for name, stored in _files(folders.manifests).items() if limits else ():
        at = max(_time(folders.manifests / name), _time(folders.bundles / name))
        files = _files_of(folders.manifests / name, limits) if limits else frozenset()
        graphs[name] = StoredGraph(files, max(at, (used or {}).get(name, 0.0)), stored.size)
    in_use = [name for graph in needed & graphs.keys() for name in graphs[graph].files]
    return Contents(_files(folders.partial), _files(folders.blobs), graphs, needed.union(in_use))


def manifest_bytes(folders: StoreFolders) -> int:
    """Bytes of all manifests."""
    return sum(one.size for one in _files(folders.manifests).values())


def remove(folders: StoreFolders, removal: Removal) -> None:
    """Remove it; at whatever step that ends, what is left can be used, or removed later."""
    if removal.kind is Kind.PART:
        (folders.partial / removal.name).unlink(missing_ok=True)
    if removal.kind is Kind.GRAPH:
        (folders.manifests / removal.name).unlink(missing_ok=True)
        shutil.rmtree(folders.bundles / removal.name, ignore_errors=True)
    for sha256 in removal.blobs:
        (folders.blobs / sha256).unlink(missing_ok=True)


def _files(folder: Path) -> dict[str, StoredFile]:
    found = {}
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another thread put it in its place meanwhile
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode) and _DIGEST.fullmatch(entry.name):
                found[entry.name] = StoredFile(status.st_size, status.st_mtime)
    return found


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _files_of(path: Path, limits: Limits) -> frozenset[str]:
    """The digests of a graph's files; of none where its manifest is damaged."""
    try:
        manifest = manifests.parse(path.read_bytes(), limits)
    except (OSError, AcceleratorError):
        return frozenset()
    return frozenset(file.sha256 for file in manifest.files)
