"""Showing and writing what a model answered."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from accel_protocol import dtypes
from accel_protocol.errors import CallError
from accel_protocol.tensors import Array

FILE_SUFFIXES = (".npz", ".json")
_SHOWN_VALUES = 6
_SHOWN_CHARACTERS = 40


def as_array(value: Any) -> Array:
    """A fetch as an array; bytes become an array of objects, which keeps their trailing zeros."""
    return np.array(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)


def summary(outputs: Mapping[str, Any]) -> str:
    """A line for each output: alias, dtype, shape, first values."""
    rows = [
        (alias, f"{dtype_name(array)} {list(array.shape)}", first_values(array))
        for alias, array in ((alias, as_array(value)) for alias, value in outputs.items())
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in rows)


def dtype_name(array: Array) -> str:
    """TensorFlow's name of an array's dtype."""
    return dtypes.name_of(dtypes.number_of(array.dtype))


def first_values(array: Array) -> str:
    """The first values in row-major order, with "…" where there are more."""
    values = array.reshape(-1)[:_SHOWN_VALUES].tolist()
    more = ["…"] if array.size > _SHOWN_VALUES else []
    return ", ".join([_shown(value) for value in values] + more)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        # repr leaves nothing in it that a terminal would obey.
        text = repr(value.decode("utf-8", "backslashreplace"))
        return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return str(value) if isinstance(value, bool | int) else f"{value:.6g}"


def as_json(outputs: Mapping[str, Any]) -> str:
    """Outputs as one JSON object, value by alias, as `json.loads` reads it.

    Strings are texts where they are UTF-8 and {"b64": "…"} where not; complex numbers are pairs;
    what is not finite is written NaN, Infinity and -Infinity.
    """
    return json.dumps({alias: _plain(as_array(value)) for alias, value in outputs.items()})


def _plain(array: Array) -> Any:
    if array.dtype.kind == "O":
        return _plain_strings(array.tolist())
    return _widened(array, pairs=True).tolist()


def _widened(array: Array, *, pairs: bool = False) -> Array:
    """What NumPy alone can write: bfloat16 as float32; with `pairs`, complex numbers as pairs."""
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    if pairs and array.dtype.kind == "c":
        return np.stack([array.real, array.imag], axis=-1)
    return array


def _plain_strings(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_strings(element) for element in value]
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode("ascii")}


def write(outputs: Mapping[str, Any], path: Path) -> None:
    """Write outputs to a .npz or .json file, told by its name.

    Raises:
        CallError: strings that .npz cannot hold.
        OSError: the file cannot be written.
    """
    if path.suffix.lower() == ".json":
        path.write_text(as_json(outputs) + "\n", encoding="utf-8")
        return
    arrays = {alias: _for_npz(alias, as_array(value)) for alias, value in outputs.items()}
    # Not np.savez: an output may be called "file", which is the name of its first parameter.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for alias, array in arrays.items():
            with archive.open(f"{alias}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _for_npz(alias: str, array: Array) -> Array:
    if array.dtype.kind != "O":
        return _widened(array)
    fixed: Array = array.astype(np.bytes_)
    if fixed.tolist() != array.tolist():
        raise CallError(
            f"Output {alias!r} holds strings that end with a zero byte, which .npz cannot hold.",
            remedy="Write to a .json file.",
        )
    return fixed
