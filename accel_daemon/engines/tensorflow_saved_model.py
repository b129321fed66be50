"""What stands in a SavedModel's file: its graphs, and what belongs to them.

Read as data: nothing here runs anything of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from accel_daemon.engines.message_count import count_messages
from accel_protocol.errors import ModelError
from accel_protocol.limits import MIB, Limits
from accel_protocol.manifest import is_safe_name

BINARY_NAME = "saved_model.pb"
_TEXT_NAME = "saved_model.pbtxt"
_MOST_BYTES = 2**31 - 1
_MOST_TEXT_BYTES = 64 * MIB  # parsing text takes far longer than parsing the binary form
INIT_SIGNATURE = "__saved_model_init_op"
_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")
_ASSETS_COLLECTION = "saved_model_assets"


def read_meta_graph(folder: Path, tags: Iterable[str], limits: Limits) -> Any:
    """The MetaGraphDef with exactly these tags.

    Raises:
        ModelError: no such file, or none with these tags.
        LimitError: graph_messages.
        DecodeError, ParseError: the file cannot be parsed.
    """
    wanted = set(tags)
    model = _read(folder, limits)
    for meta_graph in model.meta_graphs:
        if set(meta_graph.meta_info_def.tags) == wanted:
            return meta_graph
    there = "; ".join(", ".join(sorted(m.meta_info_def.tags)) for m in model.meta_graphs)
    raise ModelError(
        f"The model has no graph with the tags {', '.join(sorted(wanted)) or '(none)'}; "
        f"it has: {there or 'none'}."
    )


def _read(folder: Path, limits: Limits) -> Any:
    binary, text = folder / BINARY_NAME, folder / _TEXT_NAME
    if binary.is_file():
        return read_message(binary, saved_model_pb2.SavedModel, limits)
    if not text.is_file():
        raise ModelError(f"The model has no file {BINARY_NAME}.")
    if text.stat().st_size > _MOST_TEXT_BYTES:
        raise ModelError(f"{_TEXT_NAME} is too long; save the model as {BINARY_NAME}.")
    return text_format.Parse(
        text.read_bytes(), saved_model_pb2.SavedModel(), allow_unknown_field=True
    )


def read_message(path: Path, kind: Any, limits: Limits) -> Any:
    """Read a message once it is known to have no more messages inside than it may.

    Raises:
        ModelError: it is longer than any message can be.
        LimitError: graph_messages.
        DecodeError: it cannot be parsed.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ModelError(f"{path.name} is longer than 2 GiB, which protobuf cannot read.")
    check_messages(path, kind, limits)
    return kind.FromString(path.read_bytes())


def check_messages(path: Path, kind: Any, limits: Limits) -> None:
    """See that a file has no more messages inside than it may; no more than its framing is read.

    Raises:
        LimitError: graph_messages.
        OSError: the file cannot be read.
    """
    if path.stat().st_size:
        with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            count = count_messages(data, kind.DESCRIPTOR, limits.graph_messages)
        limits.check("graph_messages", count)


def restore_op(meta_graph: Any) -> str | None:
    """The name of the op that restores all variables, if there is one."""
    return meta_graph.saver_def.restore_op_name.partition(":")[0] or None


def init_op(meta_graph: Any) -> str | None:
    """The name of the op that initializes tables and the like, if there is one."""
    if INIT_SIGNATURE in meta_graph.signature_def:
        outputs = meta_graph.signature_def[INIT_SIGNATURE].outputs
        names = [outputs[INIT_SIGNATURE].name] if INIT_SIGNATURE in outputs else []
    else:
        names = next(filter(None, (_node_list(meta_graph, c) for c in _INIT_COLLECTIONS)), [])
    if len(names) > 1:
        raise ModelError("The model has several initialization ops where one is possible.")
    return names[0].partition(":")[0] or None if names else None


def _node_list(meta_graph: Any, collection: str) -> list[str]:
    if collection not in meta_graph.collection_def:
        return []
    return list(meta_graph.collection_def[collection].node_list.value)


def asset_names(meta_graph: Any) -> dict[str, str]:
    """Names of files in the bundle's assets, by the tensors of the graph that stand for them."""
    return {asset.tensor_info.name: asset.filename for asset in _assets(meta_graph)}


def asset_file(folder: Path, name: str) -> Path:
    """The file of an asset.

    Raises:
        ModelError: a name that could leave the bundle's assets, or a file that is not there.
    """
    assets = folder / "assets"
    path = assets / name
    if not is_safe_name(name):
        raise ModelError("The model names an asset in a way that is not allowed.")
    if not path.is_file():
        raise ModelError(f"The model lacks its asset {name!r}.")
    if not path.resolve().is_relative_to(assets.resolve()):
        raise ModelError("The model names an asset in a way that is not allowed.")
    return path


def _assets(meta_graph: Any) -> Iterator[Any]:
    if meta_graph.asset_file_def or _ASSETS_COLLECTION not in meta_graph.collection_def:
        yield from meta_graph.asset_file_def
        return
    for packed in meta_graph.collection_def[_ASSETS_COLLECTION].any_list.value:
        asset = meta_graph_pb2.AssetFileDef()
        if packed.Unpack(asset):
            yield asset
