"""Elements of arrays as JSON texts.

Floats are written as C's `%g` with six digits where these read back as the same number, else with
as many digits as the type may need; the conversion goes in blocks, for speed. Pure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from accel_protocol.tensors import Array
from client_runtime.serving.rest import base64_objects
from client_runtime.serving.rest.json_text import INDENT, quoted

# Elements converted at a time: bounds what is held twice.
_BLOCK = 65536
# Digits with which a float of a type always reads back; others need no more than the short ones.
_DIGITS = {np.dtype(np.float64): 17, np.dtype(np.float32): 9}
_SHORT = 6
# Between these, powers of ten that bring six digits before the point are exact as a float64.
_LEAST, _MOST = 1e-15, 1e20
_POWERS = np.array([float(f"1e{power}") for power in range(22)])
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
    long = f"%.{_DIGITS.get(block.dtype, _SHORT)}g "
    short = f"%.{_SHORT}g "
    formats = [short if enough else long for enough in _tells_all(block, wide).tolist()]
    texts = ("".join(formats) % tuple(wide.tolist())).split()
    texts = [text if "." in text or "e" in text or "n" in text else text + ".0" for text in texts]
    for index in np.flatnonzero(~np.isfinite(wide)).tolist():
        texts[index] = _NAMES[texts[index]]
    return texts


def _tells_all(block: Array, wide: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which elements are the same when they are read from their six digits.

    Those digits are an integer and a power of ten. As long as a float64 holds both exactly, their
    product or quotient is what reading the text would make of it.
    """
    size = np.abs(wide)
    usual = (size > _LEAST) & (size < _MOST)
    power = (_SHORT - 1) - np.floor(np.log10(np.where(usual, size, 1)))
    factor = _POWERS[np.abs(power).astype(np.int64)]
    with np.errstate(over="ignore", invalid="ignore"):
        digits = np.rint(np.where(power >= 0, size * factor, size / factor))
        read = np.where(power >= 0, digits / factor, digits * factor).astype(block.dtype)
        same: npt.NDArray[np.bool_] = read == np.abs(block)
        for index in np.flatnonzero(~usual & (size > 0) & np.isfinite(size)).tolist():
            text = f"{wide[index]:.{_SHORT}g}"
            same[index] = np.float64(text).astype(block.dtype) == block[index]
    return same


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
