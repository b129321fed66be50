"""A principal's model bundles on disk: files by digest, manifests by graph id.

    blobs/<sha256>       whole, verified files
    partial/<sha256>     files whose upload is not finished
    manifests/<graph id> canonical manifests
    bundles/<graph id>/  hard links into blobs, under the names the manifest gives them

Clients never name a path: only digests, and names inside a bundle that the manifest's parser let
through. A blob gets its place by an atomic rename after its digest was computed here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from accel_protocol import manifest as manifests
from accel_protocol.errors import BusyError, ModelError, ModelMissingError, StreamError
from accel_protocol.limits import Limits
from accel_protocol.manifest import BundleFile, Manifest

_READ_BYTES = 1 << 20
_RETRY = {"retry_after_ms": "200"}


def principal_folder(account: str, principal: str) -> str:
    """The folder name of a principal: a digest, so that no name can be anything but a name."""
    return hashlib.sha256(f"{account}/{principal}".encode()).hexdigest()[:32]


class BundleStore:
    """The files of one principal below `root`, which is made when it is not there."""

    def __init__(self, root: Path, limits: Limits) -> None:
        self._limits = limits
        self._blobs = root / "blobs"
        self._partial = root / "partial"
        self._manifests = root / "manifests"
        self._bundles = root / "bundles"
        for folder in (self._blobs, self._partial, self._manifests, self._bundles):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._verified: set[str] = set()
        self._arriving: set[str] = set()
        self._lock = threading.Lock()

    def has(self, sha256: str) -> bool:
        """Whether the whole file is here."""
        return (self._blobs / sha256).is_file()

    def committed_bytes(self, sha256: str, size: int) -> int:
        """How many bytes of an unfinished upload of a file of this size are here.

        A part that is not shorter than its file cannot be continued. It is the file itself, left
        by a process that ended at the wrong moment, and gets its place; or it is discarded.
        """
        part = self._partial / sha256
        try:
            committed = part.stat().st_size
        except FileNotFoundError:
            return 0
        if committed < size or sha256 in self._arriving:
            return min(committed, size)
        if committed == size and _sha256(part) == sha256:
            part.replace(self._blobs / sha256)
            return size
        part.unlink(missing_ok=True)
        return 0

    def used_bytes(self) -> int:
        """Bytes of all files, finished or not."""
        return sum(e.stat().st_size for d in (self._blobs, self._partial) for e in os.scandir(d))

    def receive(self, sha256: str, size: int) -> BlobUpload:
        """Go on with, or begin, the upload of a file.

        Raises:
            LimitError: the file, or the store with it, is too large.
            BusyError: another call uploads the same file at present.
        """
        self._limits.check("file_bytes", size)
        committed = self.committed_bytes(sha256, size)
        self._limits.check("store_bytes", self.used_bytes() - committed + size)
        with self._lock:
            if sha256 in self._arriving:
                raise BusyError("Another call uploads this file.", fields=_RETRY)
            self._arriving.add(sha256)
        part, final = self._partial / sha256, self._blobs / sha256
        try:
            return BlobUpload(part, final, sha256, size, lambda: self._arriving.discard(sha256))
        except OSError:
            self._arriving.discard(sha256)
            raise

    def keep_manifest(self, manifest: Manifest) -> None:
        """Remember a manifest, so that its graph loads again without its client."""
        path = self._manifests / manifest.graph_id().hex()
        if not path.exists():
            _write_atomically(path, manifest.canonical())

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
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _missing() from None
        if hashlib.sha256(data).digest() != graph_id:
            path.unlink(missing_ok=True)
            raise _missing()
        return manifests.parse(data, self._limits)

    def bundle(self, manifest: Manifest) -> Path:
        """A folder with the bundle's files under their own names; each digest was checked.

        Raises:
            ModelMissingError: a file is missing, or was damaged on disk and has been removed.
            ModelError: the manifest gives a wrong size.
        """
        # All of them first, so that all that is damaged is gone before the client is asked.
        undamaged = [self._verify(file) for file in manifest.files]
        if not all(undamaged):
            raise _missing()
        folder = self._bundles / manifest.graph_id().hex()
        shutil.rmtree(folder, ignore_errors=True)
        for file in manifest.files:
            target = folder / file.name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(self._blobs / file.sha256, target)
        return folder

    def _verify(self, file: BundleFile) -> bool:
        """Whether the file is here and undamaged; a damaged one is removed."""
        path = self._blobs / file.sha256
        if not path.is_file():
            return False
        if file.sha256 not in self._verified:
            if _sha256(path) != file.sha256:
                path.unlink()
                return False
            self._verified.add(file.sha256)
        if path.stat().st_size != file.size:
            raise ModelError("The manifest gives a file a size that it does not have.")
        return True


class BlobUpload:
    """One file while it arrives. `close` it, whole or not; what arrived stays for later."""

    def __init__(
        self, partial: Path, final: Path, sha256: str, size: int, closed: Callable[[], None]
    ) -> None:
        self._partial, self._final = partial, final
        self.sha256, self._size, self._closed = sha256, size, closed
        self._digest = hashlib.sha256()
        if partial.exists():
            _update_from_file(self._digest, partial)
        self._stream = partial.open("ab")
        self._offset = self._stream.tell()

    def close(self) -> None:
        """Stop receiving."""
        self._stream.close()
        self._closed()

    def append(self, offset: int, data: bytes) -> bool:
        """Take the next chunk; True when the file is whole, verified and in its place.

        Raises:
            StreamError: a gap, an overlap, an empty chunk, or more bytes than announced.
            ModelError: the digest is not the announced one (DIGEST_MISMATCH).
        """
        if offset != self._offset:
            raise StreamError(f"A chunk starts at {offset}, and {self._offset} was expected.")
        if self._offset + len(data) > self._size:
            raise StreamError(f"A file announced {self._size} bytes and sent more.")
        if not data and self._size:
            raise StreamError("A chunk carries no bytes.")
        self._stream.write(data)
        self._digest.update(data)
        self._offset += len(data)
        return self._offset == self._size and self._finish()

    def _finish(self) -> bool:
        self._stream.flush()
        if self._digest.hexdigest() != self.sha256:
            self._partial.unlink()
            raise ModelError("A file's content has another digest.", reason="DIGEST_MISMATCH")
        os.fsync(self._stream.fileno())
        self._partial.replace(self._final)
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
        if not store.has(sha256):
            missing.append((sha256, committed))
    return missing


def _missing() -> ModelMissingError:
    return ModelMissingError("This accelerator does not hold the graph.")


def _update_from_file(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while chunk := stream.read(_READ_BYTES):
            digest.update(chunk)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_atomically(path: Path, data: bytes) -> None:
    # A scratch file of its own, because several threads may write the same thing at once.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as scratch:
        scratch.write(data)
    os.replace(scratch.name, path)
