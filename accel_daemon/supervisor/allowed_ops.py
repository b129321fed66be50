"""What the operator says with `--allow-op OP=REASON`: ops admitted beside those that always are.

One op each, by its full name, and never without a reason: there is no way to allow all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from accel_protocol.errors import ConfigurationError

_OP = re.compile(r"[A-Za-z_][A-Za-z0-9_>.]{0,99}")
_REASON_CHARACTERS = 200


def parse_allowed_ops(texts: Iterable[str]) -> dict[str, str]:
    """Read the values of all `--allow-op` options: reasons by the names of ops.

    Raises:
        ConfigurationError: no name of an op, no reason, or an op that is named twice.
    """
    allowed: dict[str, str] = {}
    for text in texts:
        op, _, reason = (part.strip() for part in text.partition("="))
        if not _OP.fullmatch(op):
            raise _invalid(f"{op[:40]!r} is no name of an op")
        if not reason or len(reason) > _REASON_CHARACTERS or not reason.isprintable():
            raise _invalid(f"There is no printable reason for allowing {op}")
        if op in allowed:
            raise _invalid(f"The op {op} is allowed twice")
        allowed[op] = reason
    return allowed


def _invalid(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"{problem}.",
        remedy=f"Write --allow-op OP=REASON, with a reason of up to {_REASON_CHARACTERS} "
        "characters; each op by its full name, once.",
    )
