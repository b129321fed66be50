"""A principal's model bundles on disk: files by digest, manifests by graph id.

    blobs/<sha256>       whole, verified files
    partial/<sha256>     files whose upload is not finished
    manifests/<graph id> canonical manifests
    bundles/<graph id>/  hard links into blobs, under the names the manifest gives them

Clients never name a path: only digests, and names inside a bundle that the manifest's parser let
through. A blob gets its place by an atomic rename after its digest was computed here. Its digest is
computed again before its first use by another process, or once it was written to: nothing here has
to survive a power cut, which costs the client another upload at worst.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from accel_daemon.accelerator.blob_upload import BlobUpload
from accel_daemon.accelerator.disk import (
    Version,
    disk_faults,
    disk_full,
    free_bytes,
    is_full,
    version_of,
)
from accel_daemon.accelerator.store_contents import StoreFolders, contents, manifest_bytes, remove
from accel_daemon.accelerator.store_room import Contents, to_remove
from accel_protocol import manifest as manifests
from accel_protocol.errors import BusyError, ModelError, ModelMissingError
from accel_protocol.limits import Limits
from accel_protocol.manifest import BundleFile, Manifest
from accel_protocol.private_files import replace_file

_RETRY = {"retry_after_ms": "200"}
# A file that a client was told is here, or has just sent, stays so long for the graph it is for.
_PROMISE_SECONDS = 600.0
_T = TypeVar("_T")


def principal_folder(account: str, principal: str) -> str:
    """The folder name of a principal: a digest, so that no name can be anything but a name."""
    return hashlib.sha256(f"{account}/{principal}".encode()).hexdigest()[:32]


class BundleStore:
    """The files of one principal below `root`, which is made when it is not there.

    Args:
        root: its folder.
        limits: bound the files.
        in_use: tells which graphs are loaded or being loaded: their files stay. Asked on threads.
        clock: seconds that only rise, for promises. Ages of files are as the disk tells them: a
            clock that is set costs uploads at worst.

    Raises:
        BusyError: the disk is full (DISK_FULL). So do all methods that write, and all methods
            raise InternalError when the disk fails otherwise.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        in_use: Callable[[], frozenset[bytes]] = frozenset,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self.in_use, self._clock = limits, in_use, clock
        self._folders = StoreFolders(root)
        self._blobs = self._folders.blobs
        self._partial = self._folders.partial
        self._manifests = self._folders.manifests
        self._bundles = self._folders.bundles
        with disk_faults():
            self._folders.make()
            self._folders.sweep()
        self._verified: dict[str, Version] = {}
        self._arriving: dict[str, int] = {}
        self._promised: dict[str, float] = {}
        self._used: dict[str, float] = {}
        # Held while a file's upload begins, and while something is removed.
        self._lock = threading.Lock()
        # Held while files are removed and while a graph's files are put together.
        self._room = threading.RLock()

    def has(self, sha256: str) -> bool:
        """Whether the whole file is here."""
        return (self._blobs / sha256).is_file()

    def promise(self, sha256: str) -> None:
        """A client counts on this file for the graph it will load: do not remove it soon."""
        self._promised[sha256] = self._clock()

    def touch(self, graph_id: bytes) -> None:
        """The graph is used now."""
        self._used[graph_id.hex()] = time.time()

    def committed_bytes(self, sha256: str, size: int) -> int:
        """How many bytes of an unfinished upload of a file of this size are here.

        A part that is not shorter than its file cannot be continued. It is the file itself, left
        by a process that ended at the wrong moment, and gets its place; or it is discarded.
        """
        part = self._partial / sha256
        with disk_faults():
            try:
                committed = part.stat().st_size
                if committed < size or sha256 in self._arriving:
                    return min(committed, size)
                if committed == size and _readable(lambda: _sha256(part)) == sha256:
                    part.replace(self._blobs / sha256)
                    return size
                part.unlink(missing_ok=True)
            except FileNotFoundError:
                pass
            return 0

    def used_bytes(self) -> int:
        """Bytes of all files, finished or not, and of all manifests."""
        with disk_faults():
            return self._counted("")

    def receive(self, sha256: str, size: int) -> BlobUpload:
        """Go on with, or begin, the upload of a file, after room was made for it.

        Raises:
            LimitError: the file, or the store with it, is too large.
            BusyError: another call uploads the same file at present; or the disk is full.
        """
        self._limits.check("file_bytes", size)
        committed = self.committed_bytes(sha256, size)
        with self._lock:
            if sha256 in self._arriving:
                raise BusyError("Another call uploads this file.", fields=_RETRY)
            self._arriving[sha256] = size
        try:
            with disk_faults():
                self._admit(sha256, size - committed)
                return self._open_upload(sha256, size)
        except BaseException:
            self._arriving.pop(sha256, None)
            raise

    def _open_upload(self, sha256: str, size: int) -> BlobUpload:
        part, final = self._partial / sha256, self._blobs / sha256

        def closed(version: Version | None) -> None:
            if version is not None:
                self._verified[sha256] = version
            if self.has(sha256):
                self.promise(sha256)  # first, so that it is needed at every moment
            self._arriving.pop(sha256, None)

        return BlobUpload(part, final, sha256, size, self._make_room, closed)

    def _admit(self, sha256: str, rest: int) -> None:
        """Make room for the rest of a file, by the store's limit and by what the disk has."""
        over = self._counted(sha256) + rest - self._limits.store_bytes
        if over > 0 and not self._make_room(over):
            self._limits.check("store_bytes", self._counted(sha256) + rest)
        lacking = rest - free_bytes(self._partial)
        if lacking > 0 and not self._make_room(lacking):
            raise disk_full()

    def _counted(self, sha256: str) -> int:
        """Bytes of all there is; files that arrive beside this one count as announced."""
        held = contents(self._folders, None)
        sizes = {name: part.size for name, part in held.parts.items()}
        announced = {name: size for name, size in self._arriving.copy().items() if name != sha256}
        whole = sum(one.size for one in held.blobs.values()) + manifest_bytes(self._folders)
        return whole + sum((sizes | announced).values())

    def _make_room(self, wanted_bytes: int) -> bool:
        """Remove what nobody needs now; False when so many bytes cannot be freed, and none are."""
        with self._room:
            removals = to_remove(self._contents(), wanted_bytes)
            for removal in removals:
                with self._lock:
                    # Its upload may have begun since it was chosen.
                    if removal.name not in self._arriving:
                        remove(self._folders, removal)
                self._used.pop(removal.name, None)
        return bool(removals)

    def _contents(self) -> Contents:
        since = self._clock() - _PROMISE_SECONDS
        for name, at in self._promised.copy().items():
            if at <= since:
                self._promised.pop(name, None)  # in place: other threads promise meanwhile
        in_use = (graph_id.hex() for graph_id in self.in_use())
        needed = frozenset([*self._arriving.copy(), *self._promised, *in_use])
        return contents(self._folders, self._limits, needed, self._used)

    def _with_room(self, write: Callable[[], object], wanted_bytes: int) -> None:
        """Write something small; once more after room was made, where the disk is full."""
        with disk_faults():
            try:
                write()
            except OSError as error:
                if not (is_full(error) and self._make_room(wanted_bytes)):
                    raise
                write()

    def keep_manifest(self, manifest: Manifest) -> None:
        """Remember a manifest, so that its graph loads again without its client.

        Raises:
            LimitError: the store is full with it.
        """
        path, data = self._manifests / manifest.graph_id().hex(), manifest.canonical()
        self.touch(manifest.graph_id())
        with suppress(OSError):
            if path.read_bytes() == data:
                return
        with disk_faults():
            self._admit(path.name, len(data))
        self._with_room(lambda: replace_file(path, data, lasting=False), len(data))

    def has_manifest(self, graph_id: bytes) -> bool:
        """Whether the graph's manifest is here."""
        return (self._manifests / graph_id.hex()).is_file()

    def manifest(self, graph_id: bytes) -> Manifest:
        """The manifest of a graph this principal has shown before.

        Raises:
            ModelMissingError: it has not.
        """
        if len(graph_id) != hashlib.sha256().digest_size:
            raise _missing()
        path = self._manifests / graph_id.hex()
        with disk_faults():
            data = _readable(path.read_bytes)
            if data is None or hashlib.sha256(data).digest() != graph_id:
                path.unlink(missing_ok=True)
                raise _missing()
        return manifests.parse(data, self._limits)

    def bundle(self, manifest: Manifest) -> Path:
        """A folder with the bundle's files under their own names; each digest was checked.

        Raises:
            ModelMissingError: a file is missing, or was damaged on disk and has been removed.
            ModelError: the manifest gives a wrong size.
        """
        with self._room:
            with disk_faults():
                # All of them first, so that all that is damaged is gone before the client is asked.
                undamaged = [self._verify(file) for file in manifest.files]
            if not all(undamaged):
                raise _missing()
            self.touch(manifest.graph_id())
            self._with_room(lambda: self._link(manifest), 1)
            for file in manifest.files:
                self._promised.pop(file.sha256, None)
            return self._bundles / manifest.graph_id().hex()

    def _link(self, manifest: Manifest) -> None:
        """Put the bundle's folder together, or leave none."""
        folder = self._bundles / manifest.graph_id().hex()
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for file in manifest.files:
                target = folder / file.name
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.link(self._blobs / file.sha256, target)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _verify(self, file: BundleFile) -> bool:
        """Whether the file is here and undamaged; a damaged one is removed."""
        path = self._blobs / file.sha256
        if not path.is_file():
            return False
        version = version_of(path)  # before it is read: what is written meanwhile changes it
        if self._verified.get(file.sha256) != version:
            if _readable(lambda: _sha256(path)) != file.sha256:
                path.unlink(missing_ok=True)
                return False
            self._verified[file.sha256] = version
        if path.stat().st_size != file.size:
            raise ModelError("The manifest gives a file a size that it does not have.")
        return True


def missing_files(store: BundleStore, sizes: Mapping[str, int]) -> list[tuple[str, int]]:
    """(digest, bytes already here) of each file that is not whole in the store.

    Args:
        store: where to look.
        sizes: bytes of each file by digest.
    """
    missing = []
    for sha256, size in sizes.items():
        committed = 0 if store.has(sha256) else store.committed_bytes(sha256, size)
        if store.has(sha256):
            store.promise(sha256)
        else:
            missing.append((sha256, committed))
    return missing


def _missing() -> ModelMissingError:
    return ModelMissingError("This accelerator does not hold the graph.")


def _readable(read: Callable[[], _T]) -> _T | None:
    """What was read; None where there is no such file, or the disk lost what was in it."""
    try:
        return read()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
