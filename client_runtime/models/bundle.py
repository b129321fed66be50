"""The model bundle on the client's disk: its manifest, its graph id, and where its files lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from accel_protocol.manifest import BundleFile, Manifest, Selection
from client_runtime.transport.progress import Progress, progress

_READ_BYTES = 1 << 18  # small enough to be in a processor's cache when it is hashed


@dataclass(frozen=True)
class Bundle:
    """A manifest, its digest (32 bytes), and the path of each of its files by SHA-256."""

    manifest: Manifest
    graph_id: bytes
    paths: Mapping[str, Path]

    def selecting(self, selection: Selection) -> Bundle:
        """The bundle of another selection of the same files, which are not read again."""
        manifest = replace(self.manifest, selection=selection)
        return Bundle(manifest, manifest.graph_id(), self.paths)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.manifest.files)


def make_bundle(
    files: Mapping[str, Path],
    format_: str,
    selection: Selection,
    options: Mapping[str, str] | None = None,
) -> Bundle:
    """Digest the files of a model, given by their names in the bundle ("/" between parts).

    Raises:
        OSError: a file cannot be read.
    """
    total = sum(path.stat().st_size for path in files.values())
    with progress("reading the model", total) as shown:
        entries = [(_entry(name, path, shown), path) for name, path in files.items()]
    digested = tuple(sorted(entry for entry, _ in entries))
    manifest = Manifest(format_, digested, selection, options or {})
    paths = {entry.sha256: path for entry, path in entries}
    return Bundle(manifest, manifest.graph_id(), paths)


def _entry(name: str, path: Path, shown: Progress) -> BundleFile:
    digest, size, piece = hashlib.sha256(), 0, memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as stream:
        while read := stream.readinto(piece):
            digest.update(piece[:read])
            size += read
            shown(read)
    return BundleFile(name, size, digest.hexdigest())
