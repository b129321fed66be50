"""Credentials that end by themselves: an access key, its secret, and the token that goes with it.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class TemporaryCredentials:
    """What a role's session signs with.

    Attributes:
        access_key_id: "ASIA" and 16 characters of A-Z2-7.
        secret_access_key: 40 characters.
        session_token: to be sent, and signed, with every request.
        issued_at, expires_at: aware times.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime
