"""Names of requests, by which logs and answers speak of the same one.

Pure.
"""

from __future__ import annotations

import re
import secrets

_HARMLESS = re.compile(r"[!-~]{1,128}")


def request_id(given: str) -> str:
    """The id that a client gave its request, if it is printable and short; else a new one."""
    return given if _HARMLESS.fullmatch(given) else secrets.token_hex(8)
