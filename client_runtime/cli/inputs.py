"""Reading feeds from files, pictures and JSON. Files of strangers are safe: no pickle is loaded."""

from __future__ import annotations

import base64
import binascii
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import ConfigurationError, FeedError
from accel_protocol.tensors import Array
from client_runtime.cli.input_arguments import (
    FromFile,
    FromStandardInput,
    Source,
    assign,
    parse_input,
)
from client_runtime.models.saved_model import TensorInfo

PICTURES = (".png", ".jpg", ".jpeg")
_PICTURE_MODES = {1: "L", 4: "RGBA"}


def read_inputs(
    texts: Sequence[str], feeds: Mapping[str, TensorInfo], standard_input: Callable[[], bytes]
) -> dict[str, Any]:
    """The feed dict that these `--input` texts describe.

    Raises:
        FeedError: a text or a file's content is not what it should be.
        ConfigurationError: a picture, and Pillow is not installed.
        OSError: a file cannot be read.
    """
    assigned = assign([parse_input(text) for text in texts], feeds)
    return {
        name: read_value(name, source, feeds[name], standard_input)
        for name, source in assigned.items()
    }


def read_value(
    name: str, source: Source, feed: TensorInfo, standard_input: Callable[[], bytes]
) -> Any:
    """One feed's value; see `read_inputs`."""
    if isinstance(source, FromFile):
        return _read_file(name, Path(source.path), source.key, feed)
    if isinstance(source, FromStandardInput):
        return parse_json(name, standard_input())
    return parse_json(name, source.text)


def _read_file(name: str, path: Path, key: str | None, feed: TensorInfo) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _load_array(name, path)
    if suffix == ".npz":
        return _load_one_of(name, path, key)
    if suffix == ".json":
        return parse_json(name, path.read_bytes())
    if feed.dtype == dtypes.STRING:
        return _as_elements(path.read_bytes(), feed)
    if suffix in PICTURES:
        return read_picture(name, path, feed)
    raise FeedError(
        f"Feed {name!r}: files of the kind {suffix or path.name!r} cannot be read.",
        remedy="Use .npy, .npz, .json, .png or .jpg; any file goes into a string feed.",
    )


def _as_elements(content: bytes, feed: TensorInfo) -> Any:
    """A file's bytes as a string tensor of the feed's rank."""
    value = np.array(content, dtype=object)
    return value.reshape((1,) * len(feed.shape or ()))


def _load_array(name: str, path: Path) -> Array:
    try:
        value = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FeedError(f"Feed {name!r}: {path} is no array file: {error}") from error
    if not isinstance(value, np.ndarray):
        raise FeedError(f"Feed {name!r}: {path} is not what its name says.")
    return value


def _load_one_of(name: str, path: Path, key: str | None) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.keys())
            if key is None and len(keys) == 1:
                key = keys[0]
            if key not in keys:
                raise FeedError(
                    f"Feed {name!r}: {path} has the arrays {', '.join(keys) or 'none'}.",
                    remedy=f"Name one of them: @{path}:KEY.",
                )
            value: Array = archive[key]
            return value
    except (EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise FeedError(f"Feed {name!r}: {path} is no .npz file: {error}") from error
    except ValueError as error:
        if isinstance(error, FeedError):
            raise
        raise FeedError(f"Feed {name!r}: {path} cannot be read: {error}") from error


def read_picture(name: str, path: Path, feed: TensorInfo) -> Array:
    """A picture as uint8 [1, height, width, channels], or [height, width, channels].

    Channels are the feed's 1, 3 or 4, and 3 where it does not say.

    Raises:
        ConfigurationError: Pillow is not installed.
        FeedError: not a picture, or the feed cannot hold one.
        OSError: the file cannot be read.
    """
    shape = feed.shape
    rank = 4 if shape is None else len(shape)
    if rank not in (3, 4):
        raise FeedError(
            f"Feed {name!r} has {rank} dimensions, and a picture needs 3 or 4.",
            remedy="Prepare the array yourself and give it as .npy.",
        )
    mode = _PICTURE_MODES.get(shape[-1] if shape else 3, "RGB")
    pixels = _pixels(name, path, mode)
    pixels = pixels[..., np.newaxis] if mode == "L" else pixels
    return pixels[np.newaxis] if rank == 4 else pixels


def _pixels(name: str, path: Path, mode: str) -> Array:
    try:
        from PIL import Image
    except ImportError:
        raise ConfigurationError(
            "Reading pictures needs Pillow, which is not installed.", remedy="pip install pillow"
        ) from None
    content = path.open("rb")
    with content:
        try:
            with Image.open(content) as picture:
                return np.asarray(picture.convert(mode), dtype=np.uint8)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # Pillow speaks of the open file, not of its name.
            raise FeedError(f"Feed {name!r}: {path} is no picture that can be read.") from error


def parse_json(name: str, text: str | bytes) -> Any:
    """A value from JSON; {"b64": "…"} stands for bytes, and NaN and Infinity are numbers.

    Raises:
        FeedError: not JSON, or JSON that no tensor can hold.
    """
    try:
        return _as_value(name, json.loads(text))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FeedError):
            raise
        raise FeedError(
            f"Feed {name!r}: the value is not JSON: {error}",
            remedy="Write for instance '[[1, 2], [3, 4]]'; a text needs quotes: '\"text\"'.",
        ) from error


def _as_value(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_as_value(name, element) for element in value]
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise FeedError(f"Feed {name!r}: what b64 holds is not base64.") from None
    if value is None or isinstance(value, dict):
        raise FeedError(
            f"Feed {name!r}: a tensor holds no {'null' if value is None else 'objects'}.",
            remedy='Use lists, numbers, texts, true and false, and {"b64": "…"} for bytes.',
        )
    return value
