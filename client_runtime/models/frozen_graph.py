"""Reading a frozen graph, without TensorFlow: a binary GraphDef whose variables are constants.

A frozen graph has neither signatures nor tag sets: what to feed and to fetch is always named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from accel_protocol.manifest import FROZEN_GRAPH_FILE
from client_runtime.models import saved_model, selection
from client_runtime.models.saved_model import MetaGraph, TensorInfo
from client_runtime.models.selection import Choice, Selection

SUFFIX = ".pb"


def is_frozen_graph(path: Path) -> bool:
    """Whether a model's path is meant as a frozen graph: a file, or one that is missing."""
    return path.is_file() or (path.suffix == SUFFIX and not path.is_dir())


def read(path: Path) -> Mapping[str, TensorInfo]:
    """The nodes by name, with the dtype of placeholders (0 for other nodes).

    Raises:
        OSError: no such file, or it cannot be read or holds no graph.
    """
    return _nodes(path, _content(path))


def select(path: Path, choice: Choice) -> Selection:
    """Resolve a choice against a frozen graph; its tag set is empty.

    Raises:
        OSError: see `read`.
        ValueError: tensors are not named, or contradictory arguments.
        KeyError: no such tensor; the text is TensorFlow's.
    """
    choice.check()
    if not (choice.input_names and choice.output_names):
        raise ValueError(
            "input_names and output_names must both be specified for a frozen graph "
            f"({path.name}): it has no signatures to choose from."
        )
    content = _content(path)
    _nodes(path, content)
    meta_graph = MetaGraph(frozenset(choice.tag_set()), {}, content)
    return replace(selection.select([meta_graph], choice), tags=())


def bundle_files(path: Path) -> dict[str, Path]:
    """The file by its name in the bundle, which is the same whatever it is called here."""
    return {FROZEN_GRAPH_FILE: path}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path}; No such file or directory") from error


def _nodes(path: Path, content: bytes) -> Mapping[str, TensorInfo]:
    try:
        nodes = saved_model.tensors_of_graph(content)
    except OSError as error:
        raise OSError(f"Cannot parse file {path}: it is no binary GraphDef.") from error
    if not nodes:
        # Every SavedModel parses as a GraphDef without nodes.
        raise OSError(
            f"Cannot parse file {path}: it holds no graph. Of a SavedModel, give the folder."
        )
    return nodes
