"""What loaded graphs of one owner have in common, so that their variables are there once.

Graphs share when their manifests name the same files, tags and options, and the option `shared` is
among these. Pure; what is shared is an engine's own.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from accel_protocol.manifest import SHARED, Manifest, Selection

MOST_GRAPHS = 64
"""Different ones that share: what an engine keeps of each goes only with the last of them."""


class NotSharedError(Exception):
    """A graph cannot share, and has to be loaded by itself; the text says why."""


class Closable(Protocol):
    """What graphs share; an engine's own."""

    def close(self) -> None:
        """Free it; whatever runs on it ends with an error."""


@dataclass(eq=False)
class Shared:
    """What some graphs share. Changed by whoever loads graphs, one at a time, but for `leave`.

    Attributes:
        held: the engine's; None before the first graph is loaded.
        selections: of all graphs that were loaded with it, by their ids.
        loads: how often that was done.
        grown: bytes by which the process grew in doing so.
        is_closed: whether nothing can be loaded with it any more.
    """

    held: Any = None
    selections: dict[bytes, Selection] = field(default_factory=dict)
    loads: int = 0
    grown: int = 0
    users: int = 0
    is_closed: bool = False

    def with_others(self, manifest: Manifest) -> Manifest:
        """A manifest whose fetches are those of all graphs, to be weighed together."""
        chosen = [*self.selections.values(), manifest.selection]
        tensors = dict.fromkeys(tensor for one in chosen for tensor in one.fetches.values())
        fetches = {str(number): tensor for number, tensor in enumerate(tensors)}
        return replace(manifest, selection=Selection(manifest.selection.tags, fetches=fetches))

    def has_place(self, graph_id: bytes) -> bool:
        """Whether one more graph may be loaded with it."""
        return graph_id in self.selections or len(self.selections) < MOST_GRAPHS


class Sharing:
    """What the graphs of one owner share. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[object, Shared] = {}

    def look(self, manifest: Manifest) -> Shared | None:
        """What a graph would share if it were loaded now; None for nothing that is there."""
        with self._lock:
            return self._open.get(_key(manifest))

    def enter(self, manifest: Manifest) -> Shared | None:
        """What a graph that is to be loaded shares; `leave` it later. None: nothing."""
        key = _key(manifest)
        if key is None:
            return None
        with self._lock:
            shared = self._open.setdefault(key, Shared())
            shared.users += 1
            return shared

    def leave(self, shared: Shared) -> None:
        """A graph does not need it any more; it is closed with the last one that does."""
        with self._lock:
            shared.users -= 1
            held = self.retire(shared) if shared.users == 0 else None
        # Outside, because an engine waits here until runs have ended.
        if held is not None:
            held.close()

    def retire(self, shared: Shared) -> Closable | None:
        """Give it out to nobody any more; what the caller has to close then, None for nothing."""
        with self._lock:
            self._open = {key: one for key, one in self._open.items() if one is not shared}
            shared.is_closed = True
            held: Closable | None = shared.held
            shared.held = None
            return held


def _key(manifest: Manifest) -> object:
    """What manifests of graphs that share have in common; None where nothing is shared."""
    if SHARED not in manifest.options or manifest.selection.signature is not None:
        return None
    options = tuple(sorted(manifest.options.items()))
    return manifest.format, manifest.files, manifest.selection.tags, options
