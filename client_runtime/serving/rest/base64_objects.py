"""Bytes in JSON: `{"b64": "…"}`.

Pure.
"""

from __future__ import annotations

import binascii
import re
from typing import Any

from client_runtime.serving.rest.json_text import debug_text
from client_runtime.serving.statuses import invalid

_KEY = "b64"
_SPACE = re.compile(r"[\t\n\v\f\r ]+")
_ENCODED = re.compile(r"([A-Za-z0-9+/]*)(={0,2})")


def is_bytes(value: Any) -> bool:
    """Whether a value is an object of that form."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_KEY), str)


def decode(value: Any) -> bytes:
    """The bytes of such an object; padding may be missing.

    Raises:
        ServingError: it is of another form, or no base64.
    """
    if not is_bytes(value):
        raise invalid(f"JSON Value: {debug_text(value)} not formatted correctly for base64 data")
    match = _ENCODED.fullmatch(_SPACE.sub("", value[_KEY]))
    if match is None:
        raise invalid("Unable to base64 decode")
    digits, padding = match.groups()
    missing = -len(digits) % 4
    if missing == 3 or (padding and len(padding) != missing):
        raise invalid("Unable to base64 decode")
    return binascii.a2b_base64(digits + "=" * missing)


def encode(data: bytes) -> str:
    """Standard base64, padded."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")
