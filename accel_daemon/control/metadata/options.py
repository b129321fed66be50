"""What the operator chose about metadata. Pure."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_ROLE = "accel-instance"
NO_ROLE = "none"
OWN_USER, ALL_USERS = "own", "all"
USERS = (OWN_USER, ALL_USERS)
TOKENS_OPTIONAL, TOKENS_REQUIRED = "optional", "required"
TOKENS = (TOKENS_OPTIONAL, TOKENS_REQUIRED)
MAX_HOPS = 64


@dataclass(frozen=True)
class MetadataOptions:
    """How metadata is served.

    Attributes:
        role: whose credentials are offered; "none" offers none.
        users: whose processes get them: "own" for the daemon's user and root, "all" for everyone.
        tokens: "required" switches version 1, which asks for no token, off.
        hop_limit: 1 to 64; through how many routers less one an answer may go.
    """

    role: str = DEFAULT_ROLE
    users: str = OWN_USER
    tokens: str = TOKENS_OPTIONAL
    hop_limit: int = 1
