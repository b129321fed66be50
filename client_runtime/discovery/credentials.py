"""Who the caller is: the endpoint's profile first, then the AWS chain as botocore resolves it.

Credentials may end: those of a role do. botocore knows where it found them and gets new ones before
that, so what it found is kept for as long as a connection lives, and asked again for each request.
"""

from __future__ import annotations

import threading
from typing import Any

from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.discovery.profile import Profile


class KeySource:
    """Gives the access key that is good now; see the module. Thread-safe.

    Args:
        profile: of the endpoint; its key never changes, and one without a key is as good as none.
        key: given by the caller; comes before everything else.
    """

    def __init__(self, profile: Profile | None = None, key: AccessKey | None = None) -> None:
        self._fixed = key or _key_of(profile)
        self._lock = threading.Lock()
        self._found: Any = None

    def current(self) -> AccessKey:
        """The access key to sign with, refreshed when it was about to end.

        Raises:
            CredentialsError: none found, what the AWS configuration says cannot be used, or new
                ones cannot be had (MISSING_CREDENTIALS).
        """
        if self._fixed is not None:
            return self._fixed
        with self._lock:
            if self._found is None:
                self._found = _resolve()
            return _freeze(self._found)

    def look_again(self, refused: AccessKey) -> bool:
        """Whether the AWS chain, resolved anew, gives another key than one that was refused."""
        if self._fixed is not None:
            return False
        with self._lock:
            self._found = None
        try:
            return self.current() != refused
        except CredentialsError:
            return False


def find_credentials(endpoint: Endpoint) -> AccessKey:
    """The access key to sign one request with.

    Raises:
        CredentialsError: none found, or what the AWS configuration says cannot be used
            (MISSING_CREDENTIALS).
    """
    return KeySource(endpoint.profile).current()


def _key_of(profile: Profile | None) -> AccessKey | None:
    if profile is None or not profile.access_key_id or not profile.secret_access_key:
        return None
    return AccessKey(profile.access_key_id, profile.secret_access_key)


def _resolve() -> Any:
    """What botocore finds; None when it finds nothing."""
    # Imported here, because the profile needs none of it and its import costs a quarter second.
    import botocore.session

    try:
        return botocore.session.get_session().get_credentials()
    except _failures() as error:
        # For instance AWS_PROFILE names a profile that is not there.
        raise _missing(f"The AWS configuration gives no credentials: {error}") from None


def _freeze(found: Any) -> AccessKey:
    try:
        frozen = found.get_frozen_credentials() if found is not None else None
    except _failures() as error:
        raise _missing(f"The credentials cannot be refreshed: {error}") from None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise _missing("No credentials were found.")
    return AccessKey(frozen.access_key, frozen.secret_key, frozen.token)


def _failures() -> tuple[type[Exception], ...]:
    """What botocore raises for settings and services that are of no use, some of it unwrapped."""
    import botocore.exceptions

    return (botocore.exceptions.BotoCoreError, OSError, KeyError, RuntimeError, ValueError)


def _missing(message: str) -> CredentialsError:
    return CredentialsError(message, reason="MISSING_CREDENTIALS")
