"""Session tokens of version 2: how long they live, and which are good. Pure but for randomness."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from accel_protocol.elapsed import elapsed_seconds

TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL_SECONDS = 21_600
MAX_TOKENS = 1024


@dataclass
class Tokens:
    """Session tokens and when they end; the oldest are forgotten when there are too many."""

    clock: Callable[[], float] = elapsed_seconds
    _ends: dict[str, float] = field(default_factory=dict)

    def issue(self, seconds: int) -> str:
        """A new token."""
        while len(self._ends) >= MAX_TOKENS:
            self._ends.pop(next(iter(self._ends)))
        token = secrets.token_urlsafe(32)
        self._ends[token] = self.clock() + seconds
        return token

    def is_good(self, token: str) -> bool:
        """Whether it was issued here and has not ended."""
        return self.clock() < self._ends.get(token, float("-inf"))


def read_seconds(header: str) -> int | None:
    """The life that a request asks for; None when it is not 1 to 21600 whole seconds."""
    is_number = header.isascii() and header.isdecimal() and len(header) <= 5
    seconds = int(header) if is_number else 0
    return seconds if 1 <= seconds <= MAX_TTL_SECONDS else None
