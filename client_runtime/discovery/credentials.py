"""Who the caller is: the endpoint's profile first, then the AWS chain as botocore resolves it."""

from __future__ import annotations

from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.endpoints import Endpoint


def find_credentials(endpoint: Endpoint) -> AccessKey:
    """The access key to sign with.

    Raises:
        CredentialsError: none found, or what the AWS configuration says cannot be used
            (MISSING_CREDENTIALS).
    """
    profile = endpoint.profile
    if profile is not None and profile.access_key_id and profile.secret_access_key:
        return AccessKey(profile.access_key_id, profile.secret_access_key)
    return _from_botocore()


def _from_botocore() -> AccessKey:
    # Imported here, because the profile needs none of it and its import costs a quarter second.
    import botocore.exceptions
    import botocore.session

    try:
        found = botocore.session.get_session().get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    except botocore.exceptions.BotoCoreError as error:
        # For instance AWS_PROFILE names a profile that is not there.
        raise _missing(f"The AWS configuration gives no credentials: {error}") from None
    if frozen is None or not frozen.access_key or not frozen.secret_key:
        raise _missing("No credentials were found.")
    return AccessKey(frozen.access_key, frozen.secret_key, frozen.token)


def _missing(message: str) -> CredentialsError:
    return CredentialsError(message, reason="MISSING_CREDENTIALS")
