"""The model bundle's manifest: what a model is, independent of where it lies.

A manifest is canonical JSON: UTF-8, keys sorted, no blanks, no number but integers. Its SHA-256 is
the graph id, which both sides compute. protos/README.md has the format and test vectors.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from accel_protocol.errors import ModelError
from accel_protocol.limits import Limits

SAVED_MODEL = "tensorflow.saved_model"
FROZEN_GRAPH = "tensorflow.graph_def"
FROZEN_GRAPH_FILE = "graph.pb"  # the one file of such a bundle, a binary GraphDef
SHARED = "shared"
"""The option with which a caller's graphs of equal files, tags and options share variables."""
_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PART = re.compile(r"[^/\\\x00-\x1f]+")
_PART_BYTES = 255  # what Linux's file systems take


@dataclass(frozen=True, order=True)
class BundleFile:
    """One file: its name relative to the bundle ("/" between parts), size in bytes, SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Selection:
    """Which part of the model: tag set, and either a signature's key or tensors by alias."""

    tags: tuple[str, ...] = ("serve",)
    signature: str | None = None
    feeds: Mapping[str, str] = field(default_factory=dict)
    fetches: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """A model bundle: format, files, selection, and options of the engine (all strings)."""

    format: str
    files: tuple[BundleFile, ...]
    selection: Selection
    options: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> bytes:
        """The one byte string that stands for this manifest."""
        return _canonical_json(_to_json(self))

    def graph_id(self) -> bytes:
        """SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()


def parse(data: bytes, limits: Limits) -> Manifest:
    """Read a manifest that a peer sent.

    Raises:
        ModelError: not a canonical manifest, or names that could leave the bundle's folder.
        LimitError: too long, too many files, or a file too large.
    """
    limits.check("manifest_bytes", len(data))
    try:
        manifest = _from_json(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ModelError("The manifest is not one this version can read.") from None
    if manifest.canonical() != data:
        raise ModelError("The manifest is not in canonical form.")
    _check(manifest, limits)
    return manifest


def _check(manifest: Manifest, limits: Limits) -> None:
    limits.check("bundle_files", len(manifest.files))
    tags = manifest.selection.tags
    if list(tags) != sorted(set(tags)):
        raise ModelError("The manifest's tags are not sorted, each once.")
    names = [file.name for file in manifest.files]
    if names != sorted(set(names)) or not names:
        raise ModelError("The manifest's files are not sorted by name, each once.")
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    if folders & set(names):
        raise ModelError("The manifest has a file below a file.")
    for file in manifest.files:
        limits.check("file_bytes", file.size)
        if not _DIGEST.fullmatch(file.sha256) or file.size < 0 or not is_safe_name(file.name):
            raise ModelError("The manifest names a file in a way that is not allowed.")


def is_safe_name(name: str) -> bool:
    """Whether a relative name stays inside its folder on every operating system."""
    parts = name.split("/")
    return (
        len(name) <= 1024
        and len(parts) <= 16
        and all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)
        and all(len(part.encode("utf-8", "surrogatepass")) <= _PART_BYTES for part in parts)
        and ":" not in name
    )


def _canonical_json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8")


def _to_json(manifest: Manifest) -> dict[str, Any]:
    selection: dict[str, Any] = {"tags": list(manifest.selection.tags)}
    if manifest.selection.signature is not None:
        selection["signature"] = manifest.selection.signature
    else:
        selection["feeds"] = dict(manifest.selection.feeds)
        selection["fetches"] = dict(manifest.selection.fetches)
    return {
        "version": _VERSION,
        "format": manifest.format,
        "files": [{"name": f.name, "size": f.size, "sha256": f.sha256} for f in manifest.files],
        "selection": selection,
        "options": dict(manifest.options),
    }


def _from_json(value: Mapping[str, Any]) -> Manifest:
    if type(value["version"]) is not int or value["version"] != _VERSION:
        raise ValueError("version")
    chosen = value["selection"]
    selection = Selection(
        tags=tuple(map(_text, chosen["tags"])),
        signature=_text(chosen["signature"]) if "signature" in chosen else None,
        feeds=_texts(chosen.get("feeds", {})),
        fetches=_texts(chosen.get("fetches", {})),
    )
    files = tuple(
        BundleFile(_text(f["name"]), _integer(f["size"]), _text(f["sha256"]))
        for f in value["files"]
    )
    return Manifest(_text(value["format"]), files, selection, _texts(value["options"]))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("string")
    value.encode("utf-8")
    return value


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("integer")
    return value


def _texts(value: Mapping[object, object]) -> dict[str, str]:
    return {_text(key): _text(item) for key, item in value.items()}
