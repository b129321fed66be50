"""What is refused before anything is looked up: other names, proxies, missing and bad tokens. Pure.

Unlike the real service it looks at the Host header, so that a web page in a browser of this machine
cannot read metadata through a name of its own (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Sequence

from accel_daemon.control.metadata.options import TOKENS_REQUIRED
from accel_daemon.control.metadata.tokens import Tokens

HOSTS = ("127.0.0.1", "localhost", "169.254.169.254", "169.254.170.2")
TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
# ECS's agent knows no tokens of this kind.
CONTAINER_PREFIXES = ("/v2/", "/v3/", "/v4/")


def is_local_host(header: str) -> bool:
    """Whether a Host header names this service by an address or name that only means this host."""
    host, colon, port = header.partition(":")
    return host.lower() in HOSTS and (not colon or port.isdecimal())


def is_for_us(hosts: Sequence[str], is_forwarded: bool) -> bool:
    """Whether a request was sent to this service itself, and by no proxy."""
    return len(hosts) == 1 and is_local_host(hosts[0]) and not is_forwarded


def has_token(path: str, token: str | None, tokens: Tokens, rule: str) -> bool:
    """Whether a request shows the token that it needs.

    Args:
        path: of the request.
        token: what it shows, None for nothing. What is shown must be good even where none is asked.
        tokens: those that were issued.
        rule: "optional" or "required", see MetadataOptions.
    """
    if path.startswith(CONTAINER_PREFIXES) or path == TOKEN_PATH:
        return True
    return tokens.is_good(token) if token is not None else rule != TOKENS_REQUIRED
