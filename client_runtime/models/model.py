"""A model on this machine's disk: what it is, which part of it is meant, which files make it up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accel_protocol.manifest import FROZEN_GRAPH, SAVED_MODEL
from client_runtime.models import frozen_graph, saved_model
from client_runtime.models.bundle import Bundle, make_bundle
from client_runtime.models.selection import Choice, Selection, select


@dataclass(frozen=True)
class Model:
    """A SavedModel's folder or a frozen graph's file, and what to feed and fetch of it.

    Attributes:
        path: where it is.
        format: as the manifest names it.
        selection: tag set, feeds and fetches.
    """

    path: Path
    format: str
    selection: Selection

    def bundle(self) -> Bundle:
        """The model bundle; reads and digests every file.

        Raises:
            OSError: a file cannot be read.
        """
        if self.format == FROZEN_GRAPH:
            files = frozen_graph.bundle_files(self.path)
        else:
            files = saved_model.bundle_files(self.path)
        return make_bundle(files, self.format, self.selection.for_manifest())


def open_model(path: Path, choice: Choice) -> Model:
    """Find out what a path holds and resolve a choice against it.

    Raises:
        OSError: no model there, or it cannot be parsed.
        ValueError: contradictory arguments, no such tag set or signature.
        KeyError: no such tensor.
    """
    if frozen_graph.is_frozen_graph(path):
        return Model(path, FROZEN_GRAPH, frozen_graph.select(path, choice))
    choice.check()
    return Model(path, SAVED_MODEL, select(saved_model.read(path), choice))
