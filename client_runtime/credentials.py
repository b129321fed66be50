"""Who the caller is: the home's profile first, then the AWS chain as botocore resolves it."""

from __future__ import annotations

from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery import Endpoint


def find_credentials(endpoint: Endpoint) -> AccessKey:
    """The access key to sign with.

    Raises:
        CredentialsError: none found (MISSING_CREDENTIALS).
    """
    if endpoint.profile is not None:
        return AccessKey(endpoint.profile.access_key_id, endpoint.profile.secret_access_key)
    return _from_botocore()


def _from_botocore() -> AccessKey:
    # Imported here, because the profile needs none of it and its import costs a quarter second.
    import botocore.session

    found = botocore.session.get_session().get_credentials()
    if found is None:
        raise CredentialsError("No credentials were found.", reason="MISSING_CREDENTIALS")
    frozen = found.get_frozen_credentials()
    return AccessKey(frozen.access_key, frozen.secret_key, frozen.token)
