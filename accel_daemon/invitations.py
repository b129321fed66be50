"""What `accel-daemon invite` needs: where the daemon is, who signs for it, and the invited user."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from accel_daemon.iam.principals import Identities, Key, User
from accel_daemon.pki.authority import fingerprint
from accel_protocol.errors import ConfigurationError

# The least that a client needs: to use accelerators, and to list them.
INVITED_POLICY: Mapping[str, object] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["elastic-inference:Connect", "elastic-inference:Describe*"],
            "Resource": "*",
        }
    ],
}


def with_invited(
    identities: Identities, name: str, policy: Mapping[str, object] | None, key: Key
) -> Identities:
    """With one more key for a user, who is added if there is none of this name.

    Raises:
        ConfigurationError: a malformed name, or a policy for a user who has some already.
    """
    if identities.find_user(name) is None:
        return identities.with_user(User(name, (policy or INVITED_POLICY,), (key,)))
    if policy is not None:
        raise ConfigurationError(
            f"There is already a user {name}, and an invitation does not change policies.",
            remedy="Leave out --policy, or remove the user first.",
        )
    return identities.with_key(name, key)


def read_daemons_address(profile: Path) -> tuple[str, str]:
    """HOST:PORT and region of the home's daemon, from the profile that it wrote.

    Raises:
        ConfigurationError: no daemon ran in this home yet.
    """
    try:
        document = json.loads(profile.read_bytes())
        parts = urlsplit(document["control"])
        address, region = parts.netloc, str(document["region"])
    except FileNotFoundError:
        raise ConfigurationError(
            "No daemon was started in this home yet, so there is no address to invite to.",
            remedy="Start `accel-daemon up` first.",
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        address, region = "", ""
    if not address:
        raise ConfigurationError(
            f"{profile} does not say where the daemon is.",
            remedy="Start `accel-daemon up` again, which writes it anew.",
        )
    return address, region


def read_fingerprint(ca_file: Path) -> str:
    """The fingerprint of the home's authority, "sha256:…".

    Raises:
        ConfigurationError: its certificate cannot be read.
    """
    try:
        return fingerprint(x509.load_pem_x509_certificate(ca_file.read_bytes()))
    except (OSError, ValueError):
        raise ConfigurationError(
            f"{ca_file} does not hold the authority's certificate.",
            remedy="Restore it from a backup.",
        ) from None


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT is reachable from this machine only."""
    host = urlsplit(f"//{address}").hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
