"""Elements of arrays as JSON texts.

Floats are written as C's `%g` with six digits where these read back as the same number, else with
as many digits as the type may need; the conversion goes in blocks, for speed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from accel_protocol.tensors import Array
from client_runtime.serving.rest import base64_objects
from client_runtime.serving.rest.json_text import INDENT, quoted

# Elements converted at a time: bounds what is held twice.
_BLOCK = 65536
# Digits with which a float of a type always reads back; others need no more than the short ones.
_DIGITS = {np.dtype(np.float64): 17, np.dtype(np.float32): 9}
_SHORT = 6
_NAMES = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def floats(array: Array) -> list[str]:
    """Texts of an array's elements, in order.

    Args:
        array: of any shape, of float64, float32, float16 or bfloat16.
    """
    flat = array.reshape(-1)
    texts: list[str] = []
    for start in range(0, flat.size, _BLOCK):
        texts.extend(_float_block(flat[start : start + _BLOCK]))
    return texts


def _float_block(block: Array) -> list[str]:
    wide = block.astype(np.float64)
    joined = _formatted(wide, _SHORT)
    texts = joined.split()
    with np.errstate(over="ignore"):
        read = np.fromstring(joined, dtype=np.float64, sep=" ").astype(block.dtype)
    finite = np.isfinite(wide)
    for index, text in _written_out(
        wide, (read != block) & finite, _DIGITS.get(block.dtype, _SHORT)
    ):
        texts[index] = text
    texts = [text if "." in text or "e" in text or "n" in text else text + ".0" for text in texts]
    for index in np.flatnonzero(~finite).tolist():
        texts[index] = _NAMES[texts[index]]
    return texts


def _formatted(values: Array, digits: int) -> str:
    return f"%.{digits}g " * values.size % tuple(values.tolist())


def _written_out(wide: Array, which: Array, digits: int) -> Iterator[tuple[int, str]]:
    """Index and text of those elements that six digits do not tell."""
    indices = np.flatnonzero(which)
    yield from zip(indices.tolist(), _formatted(wide[indices], digits).split(), strict=True)


def integers(array: Array) -> list[str]:
    """Texts of an array's elements, in order."""
    return list(map(str, array.reshape(-1).tolist()))


def truths(array: Array) -> list[str]:
    """Texts of an array's elements, in order."""
    return ["true" if element else "false" for element in array.reshape(-1).tolist()]


def strings(array: Array) -> list[str]:
    """Texts of an array's elements, bytes, in order; those that are no UTF-8 stay what they are."""
    return [
        quoted(element.decode("utf-8", "surrogateescape")) for element in array.reshape(-1).tolist()
    ]


def byte_objects(array: Array, depth: int) -> list[str]:
    """Texts of an array's elements, bytes, in order, as objects that hold base64.

    Args:
        array: of any shape.
        depth: how many objects and lists are around each of them.
    """
    before, after = "\n" + INDENT * (depth + 1), "\n" + INDENT * depth
    return [
        f'{{{before}"b64": "{base64_objects.encode(element)}"{after}}}'
        for element in array.reshape(-1).tolist()
    ]
