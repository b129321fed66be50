"""A request's JSON, read fast where Python's reader takes what RapidJSON takes.

Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from client_runtime.serving.rest import json_grammar
from client_runtime.serving.rest.json_text import debug_text
from client_runtime.serving.statuses import invalid

_SPACE = re.compile(r"\ufeff?[ \n\r\t]*")
# What may be a float that is too big: such a text is read once more, for its error.
_BIG = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{309}")


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body begins with; what follows it is ignored.

    The first of several members of one name counts. Bytes that are no UTF-8 stay what they are, as
    lone surrogates (`surrogateescape`).

    Raises:
        ServingError: it is no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    start = _SPACE.match(text)
    try:
        value, _ = _DECODER.raw_decode(text, start.end() if start else 0)
    except (ValueError, RecursionError):
        value = json_grammar.read(body)
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {debug_text(value)} Is not object")
    return value


def refuse_overflow(body: bytes) -> None:
    """Refuse a number that is no float; called where an infinite one was read.

    Raises:
        ServingError: there is one.
    """
    if _BIG.search(body):
        json_grammar.read(body)


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        members = {}
        for name, value in pairs:
            members.setdefault(name, value)
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_first_of_each)
