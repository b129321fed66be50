"""The environment variables with which unmodified programs find a daemon under test. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping

# A test must not meet the developer's own accelerators, credentials or profiles.
PREFIXES = ("ACCEL_", "AWS_", "EI_", "ECS_")


def client_variables(
    ready: Mapping[str, object], access_key_id: str, secret_access_key: str
) -> dict[str, str]:
    """The variables of a client of a daemon.

    Args:
        ready: the content of the daemon's ready file.
        access_key_id: of the key to sign with.
        secret_access_key: of the same key.
    """
    authority, region = str(ready["ca_file"]), str(ready["region"])
    return {
        "AWS_ENDPOINT_URL_ELASTIC_INFERENCE": str(ready["control"]),
        "ACCEL_CA_FILE": authority,
        "AWS_CA_BUNDLE": authority,
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": str(ready["metadata"]),
        # Without these, botocore reads what ~/.aws says about endpoints and proxies.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without any variable that leads to accelerators or AWS."""
    return {name: value for name, value in environment.items() if not name.startswith(PREFIXES)}
