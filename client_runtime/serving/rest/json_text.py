"""JSON as RapidJSON's PrettyWriter lays it out: strings, numbers, and values quoted in messages.

Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from client_runtime.serving.rest.json_grammar import HIGHEST, LOWEST

INDENT = "    "
# Of a value quoted in a message; what is begun within it is written to its end.
_DEBUG_BYTES = 256

_TO_ESCAPE = re.compile(r'[\x00-\x1f"\\]')
_ESCAPED = {chr(code): f"\\u{code:04X}" for code in range(0x20)} | {
    '"': '\\"',
    "\\": "\\\\",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def quoted(text: str) -> str:
    """A string in quotation marks."""
    return f'"{_TO_ESCAPE.sub(lambda match: _ESCAPED[match.group()], text)}"'


def encoded(text: str) -> bytes:
    """A text's bytes: those that were no UTF-8 when it was read are what they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def readable(text: str) -> str:
    """A text that messages can hold: what was no UTF-8 is replaced."""
    return encoded(text).decode("utf-8", "replace")


def type_name(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "String"
    if isinstance(value, list):
        return "Array"
    return "Object" if isinstance(value, dict) else "Number"


def debug_text(value: Any) -> str:
    """A value as messages quote it: cut off after about 256 bytes."""
    parts: list[str] = []
    size = 0
    for part in _parts(value, "", 0):
        if part is None or size >= _DEBUG_BYTES:
            break
        parts.append(part)
        size += len(encoded(part))
    return "".join(parts)


def _parts(value: Any, before: str, depth: int) -> Iterator[str | None]:
    """A value in pieces, the first of them after `before`; None: it cannot be written."""
    if isinstance(value, list):
        yield f"{before}["
        for index, item in enumerate(value):
            yield from _parts(item, ", " if index else "", depth + 1)
        yield "]"
    elif isinstance(value, dict):
        yield f"{before}{{"
        inner = "\n" + INDENT * (depth + 1)
        for index, (name, item) in enumerate(value.items()):
            yield f"{',' if index else ''}{inner}{quoted(name)}"
            yield from _parts(item, ": ", depth + 1)
        yield f"\n{INDENT * depth}}}" if value else "}"
    else:
        scalar = _scalar(value)
        yield before if scalar is None else before + scalar
        if scalar is None:
            yield None


def _scalar(value: Any) -> str | None:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int) and LOWEST <= value <= HIGHEST:
        return str(value)
    return _double(value)


def _double(value: int | float) -> str | None:
    """The shortest text of a float, laid out as RapidJSON does."""
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number):
        return None
    sign, digit_tuple, exponent = Decimal(repr(number)).normalize().as_tuple()
    if number == 0 or not isinstance(exponent, int):
        return "-0.0" if sign else "0.0"
    digits = "".join(map(str, digit_tuple))
    return ("-" if sign else "") + _laid_out(digits, len(digits) + exponent)


def _laid_out(digits: str, point: int) -> str:
    """Digits with a decimal point after `point` of them."""
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits)) + ".0"
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"0.{'0' * -point}{digits}"
    mantissa = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1}"
