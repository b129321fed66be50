"""JSON as RapidJSON reads it: NaN and Inf, no depth that is too deep, and errors with offsets.

It is exact and slow: `json_reading.py` comes here with what Python's own reader does not take.
Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from client_runtime.serving.statuses import ServingError, invalid

# Integers beyond these are floats, as they are to RapidJSON.
LOWEST, HIGHEST = -(2**63), 2**64 - 1

_SPACE = re.compile(r"[ \n\r\t]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
# No more than can be lost by a single one that is too large.
_NUMBERS = re.compile(rf"(?:[ \n\r\t]*{_NUMBER.pattern}[ \n\r\t]*,){{2,1024}}")
_OPENINGS = re.compile(r"\[+(?=\[)")
_CLOSINGS = re.compile(r"\]+")
_EXPONENT = re.compile(r"[eE][-+]?")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {
    '"': b'"',
    "\\": b"\\",
    "/": b"/",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
}
_LITERALS = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}

_EMPTY = "The document is empty."
_INVALID = "Invalid value."
_NO_NAME = "Missing a name for object member."
_NO_COLON = "Missing a colon after a name of object member."
_NO_BRACE = "Missing a comma or } after an object member."
_NO_BRACKET = "Missing a comma or ] after an array element."
_HEX_DIGIT = "Incorrect hex digit after \\u escape in string."
_SURROGATE = "The surrogate pair in string is invalid."
_ESCAPE = "Invalid escape character in string."
_NO_QUOTE = "Missing a closing quotation mark in string."
_ENCODING = "Invalid encoding in string."
TOO_BIG = "Number too big to be stored in double."
_NO_FRACTION = "Miss fraction part in number."
_NO_EXPONENT = "Miss exponent in number."
_TOO_DEEP = "Lists and objects are nested too deep."

# RapidJSON has no such bound: each level takes some 100 bytes of memory here.
_MOST_LEVELS = 2**20


def fault(what: str, offset: int) -> ServingError:
    """The error of a text that is no JSON; the offset counts bytes."""
    return invalid(f"JSON Parse error: {what} at offset: {offset}")


def read(body: bytes) -> Any:
    """The first value in a body; what follows it is ignored, as is a byte order mark.

    The first of several members of one name counts. Bytes that are no UTF-8 stay what they are, as
    lone surrogates (`surrogateescape`).

    Raises:
        ServingError: it is no JSON.
    """
    start = 3 if body.startswith(b"\xef\xbb\xbf") else 0
    return _Reader(body.decode("latin-1"), start).document()


class _Reader:
    """Reads a text whose characters are a body's bytes, without recursion."""

    def __init__(self, text: str, position: int) -> None:
        self._text, self._position = text, position

    def document(self) -> Any:
        if not self._next():
            raise self._fault(_EMPTY)
        open_: list[Any] = []
        names: list[str] = []  # of the members whose values are being read
        while True:
            if open_ and isinstance(open_[-1], list):
                self._take_numbers(open_[-1])
            value = self._opening()
            if isinstance(value, list | dict) and not self._closed(value):
                open_.append(value)
                if isinstance(value, list):
                    self._take_openings(open_)
                if len(open_) > _MOST_LEVELS:
                    raise self._fault(_TOO_DEEP)
                if isinstance(value, dict):
                    names.append(self._name())
                continue
            value = self._put_away(open_, names, value)
            if not open_:
                return value

    def _put_away(self, open_: list[Any], names: list[str], value: Any) -> Any:
        """Put a value where it belongs, and what ends with it; the outermost of what is whole."""
        while open_:
            value = self._take_closings(open_, value)
            if open_:
                if self._placed(open_[-1], names, value):
                    break
                value = open_.pop()
        return value

    def _take_numbers(self, elements: list[Any]) -> None:
        """Read those elements at once that are numbers as Python reads them, each with a comma."""
        match = _NUMBERS.match(self._text, self._position)
        if match is None:
            return
        try:
            numbers = json.loads(f"[{match.group()[:-1]}]")
        except ValueError:
            return
        if all(LOWEST <= number <= HIGHEST for number in numbers):
            elements.extend(numbers)
            self._position = match.end()

    def _take_openings(self, open_: list[Any]) -> None:
        """Open those lists at once that have a list for their first element."""
        match = _OPENINGS.match(self._text, self._position)
        if match is not None:
            open_.extend([] for _ in range(len(match.group())))
            self._position = match.end()

    def _take_closings(self, open_: list[Any], value: Any) -> Any:
        """Put a value into those lists at once that end with it; the outermost of them."""
        match = _CLOSINGS.match(self._text, self._position)
        for _ in range(len(match.group()) if match is not None else 0):
            if not open_ or not isinstance(open_[-1], list):
                break
            open_[-1].append(value)
            value = open_.pop()
            self._position += 1
        return value

    def _placed(self, container: Any, names: list[str], value: Any) -> bool:
        """Put a value into the innermost container; whether another one is to follow."""
        sign = self._next()
        if isinstance(container, dict):
            container.setdefault(names.pop(), value)
            if sign not in (",", "}"):
                raise self._fault(_NO_BRACE)
            self._position += 1
            if sign == ",":
                names.append(self._name())
        else:
            container.append(value)
            if sign not in (",", "]"):
                raise self._fault(_NO_BRACKET)
            self._position += 1
        return sign == ","

    def _opening(self) -> Any:
        """A value without members or elements, or an empty container to read them into."""
        sign = self._next()
        if sign == "[" or sign == "{":
            self._position += 1
            return [] if sign == "[" else {}
        if sign == '"':
            return self._string()
        if sign in _LITERALS:
            word, value = _LITERALS[sign]
            self._expect(word)
            return value
        return self._number()

    def _closed(self, container: list[Any] | dict[str, Any]) -> bool:
        closed = self._next() == ("]" if isinstance(container, list) else "}")
        self._position += closed
        return closed

    def _name(self) -> str:
        """A member's name and the colon."""
        if self._next() != '"':
            raise self._fault(_NO_NAME)
        name = self._string()
        if self._next() != ":":
            raise self._fault(_NO_COLON)
        self._position += 1
        return name

    def _number(self) -> int | float:
        start = self._position
        match = _NUMBER.match(self._text, start)
        if match is None:
            return self._no_finite_number()
        self._position = match.end()
        fraction, exponent = match.groups()
        following = self._peek()
        if following == "." and fraction is None and exponent is None:
            self._position += 1
            raise self._fault(_NO_FRACTION)
        begun = _EXPONENT.match(self._text, self._position) if exponent is None else None
        if begun is not None:
            self._position = begun.end()
            raise self._fault(_NO_EXPONENT)
        return self._finite(match.group(), start, whole=fraction is None and exponent is None)

    def _finite(self, digits: str, start: int, whole: bool) -> int | float:
        if whole and len(digits) <= 20 and LOWEST <= int(digits) <= HIGHEST:
            return int(digits)
        number = float(digits)
        if abs(number) == float("inf"):
            raise fault(TOO_BIG, start)
        return number

    def _no_finite_number(self) -> float:
        negative = self._peek() == "-"
        self._position += negative
        sign = self._peek()
        if sign == "N":
            self._expect("NaN")
            return float("nan")
        if sign != "I":
            raise self._fault(_INVALID)
        self._expect("Inf")
        if self._peek() == "i":
            self._expect("inity")
        return float("-inf") if negative else float("inf")

    def _string(self) -> str:
        self._position += 1
        parts: list[bytes] = []
        while True:
            match = _PLAIN.match(self._text, self._position)
            if match is not None:
                parts.append(match.group().encode("latin-1"))
                self._position = match.end()
            sign = self._peek()
            if sign == '"':
                self._position += 1
                return b"".join(parts).decode("utf-8", "surrogateescape")
            if sign != "\\":
                raise self._fault(_ENCODING if sign else _NO_QUOTE)
            parts.append(self._escape())

    def _escape(self) -> bytes:
        start = self._position
        sign = self._text[start + 1 : start + 2]
        self._position += 2
        if sign in _ESCAPES:
            return _ESCAPES[sign]
        if sign != "u":
            raise fault(_ESCAPE, start)
        code = self._hex(start)
        if 0xD800 <= code <= 0xDFFF:
            if code > 0xDBFF or self._text[self._position : self._position + 2] != "\\u":
                raise fault(_SURROGATE, start)
            self._position += 2
            low = self._hex(start)
            if not 0xDC00 <= low <= 0xDFFF:
                raise fault(_SURROGATE, start)
            code = 0x10000 + ((code - 0xD800) << 10 | low - 0xDC00)
        return chr(code).encode("utf-8")

    def _hex(self, escape: int) -> int:
        match = _HEX.match(self._text, self._position)
        if match is None:
            raise fault(_HEX_DIGIT, escape)
        self._position = match.end()
        return int(match.group(), 16)

    def _expect(self, word: str) -> None:
        for sign in word:
            if self._peek() != sign:
                raise self._fault(_INVALID)
            self._position += 1

    def _next(self) -> str:
        """The next character that is no space, as `_peek` tells it."""
        match = _SPACE.match(self._text, self._position)
        if match is not None:
            self._position = match.end()
        return self._peek()

    def _peek(self) -> str:
        """The next character; none at the end, for which a NUL counts too."""
        sign = self._text[self._position : self._position + 1]
        return "" if sign == "\0" else sign

    def _fault(self, what: str) -> ServingError:
        return fault(what, self._position)
