"""The signatures of a version: read from its folder, and resolved to feeds and fetches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf import text_format
from google.protobuf.message import DecodeError

from accel_protocol.errors import Status
from accel_protocol.graph.v1 import saved_model_pb2
from client_runtime.models import saved_model
from client_runtime.models.selection import Selection
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.signatures_pb2 import SavedModel, SignatureDef

DEFAULT_KEY = "serving_default"
_INIT_OP = "__saved_model_init_op"


def read(folder: Path, tags: Sequence[str]) -> Mapping[str, SignatureDef]:
    """The signatures of the graph with exactly this tag set, by key, sorted.

    Raises:
        ServingError: no SavedModel there, it cannot be parsed, or it has no such graph.
    """
    wanted = set(tag_set(tags))
    for meta_graph in _parsed(folder).meta_graphs:
        if set(meta_graph.meta_info_def.tags) == wanted:
            return dict(sorted(meta_graph.signature_def.items()))
    raise ServingError(
        Status.NOT_FOUND,
        f"Could not find meta graph def matching supplied tags: {{ {' '.join(tag_set(tags))} }}. "
        f"The SavedModel is at {folder}.",
    )


def _parsed(folder: Path) -> SavedModel:
    binary, text = folder / saved_model.BINARY_NAME, folder / saved_model.TEXT_NAME
    try:
        if binary.is_file():
            return SavedModel.FromString(binary.read_bytes())
        model = SavedModel()
        text_format.Parse(text.read_bytes(), model, allow_unknown_field=True)
    except FileNotFoundError:
        raise ServingError(
            Status.NOT_FOUND,
            "Could not find SavedModel .pb or .pbtxt at supplied export directory path: "
            f"{folder}. Check that the directory exists and that you have the right permissions "
            "for accessing it.",
        ) from None
    except OSError as error:
        raise ServingError(
            Status.UNAVAILABLE, f"The SavedModel at {folder} cannot be read: {error.strerror}."
        ) from error
    except (DecodeError, text_format.ParseError, UnicodeDecodeError) as error:
        raise ServingError(
            Status.INVALID_ARGUMENT, f"The SavedModel at {folder} cannot be parsed: {error}."
        ) from error
    return model


def tag_set(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags as a manifest has them."""
    return tuple(sorted({tag.strip() for tag in tags}))


def is_runnable(key: str, signature: SignatureDef) -> bool:
    """Whether a signature stands for a computation, and not for what loading runs."""
    outputs = signature.outputs.values()
    return key != _INIT_OP and bool(outputs) and all(info.dtype != 0 for info in outputs)


def not_runnable(signatures: Mapping[str, SignatureDef]) -> dict[str, str]:
    """Why signatures cannot run that stand for no computation, by key."""
    return {
        key: f'Signature "{key}" has no outputs to fetch.'
        for key, signature in signatures.items()
        if not is_runnable(key, signature)
    }


def selection_of(signature: SignatureDef, tags: Sequence[str]) -> Selection:
    """Feeds and fetches of a signature, by its aliases."""
    subset = saved_model_pb2.Signature.FromString(signature.SerializeToString())
    known = saved_model.signature(subset)
    return Selection(tag_set(tags), known.inputs, known.outputs)
