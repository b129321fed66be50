"""Where the accelerators are: explicit arguments, then the environment, then the home's profile.

1. the arguments of the call: `endpoint` and `ca_file`;
2. `ACCEL_ENDPOINT`, else `AWS_ENDPOINT_URL_ELASTIC_INFERENCE`; `ACCEL_CA_FILE` names the CA;
3. `$ACCEL_HOME/client.json`, which `accel-daemon up` writes for its own machine.

What was tried is part of the error when nothing is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from accel_protocol.errors import ConfigurationError

PROFILE_NAME = "client.json"
DEFAULT_REGION = "us-east-1"
_ENDPOINT_VARIABLES = ("ACCEL_ENDPOINT", "AWS_ENDPOINT_URL_ELASTIC_INFERENCE")


@dataclass(frozen=True)
class Profile:
    """What a home's client profile says; written by the daemon, readable by its owner only."""

    control: str
    ca_file: str
    region: str
    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(frozen=True)
class Endpoint:
    """A control endpoint to connect to.

    Attributes:
        control: "https://HOST:PORT".
        ca_file: PEM file of the authority that must have signed its certificate; None for the
            system's authorities.
        region: the region requests are signed for.
        source: where this was found, for messages.
        profile: the home's profile when it is the one for this endpoint.
    """

    control: str
    ca_file: str | None
    region: str
    source: str
    profile: Profile | None = None


def home() -> Path:
    """`$ACCEL_HOME`, by default `~/.accel`."""
    return Path(os.environ.get("ACCEL_HOME") or Path.home() / ".accel")


def discover(endpoint: str | None = None, ca_file: str | None = None) -> Endpoint:
    """The endpoint to use.

    Raises:
        ConfigurationError: nothing found (the message lists what was tried), or what was found
            cannot be used.
    """
    profile = read_profile()
    if endpoint is not None:
        return _endpoint(endpoint, ca_file, "the call's arguments", profile)
    for variable in _ENDPOINT_VARIABLES:
        if value := os.environ.get(variable):
            return _endpoint(value, ca_file, variable, profile)
    if profile is not None:
        return _endpoint(profile.control, ca_file, str(home() / PROFILE_NAME), profile)
    raise ConfigurationError(
        "No accelerator was found. Tried: the call's arguments (no endpoint given), "
        f"{' and '.join(_ENDPOINT_VARIABLES)} (not set), "
        f"{home() / PROFILE_NAME} (no such file)."
    )


def read_profile() -> Profile | None:
    """The home's profile, None when there is none.

    Raises:
        ConfigurationError: it is there and cannot be used.
    """
    path = home() / PROFILE_NAME
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(path, str(error)) from error
    return _profile(path, value)


def _profile(path: Path, value: Mapping[str, Any]) -> Profile:
    try:
        fields = {name: value[name] for name in Profile.__dataclass_fields__}
    except (KeyError, TypeError) as error:
        raise _unusable(path, f"it lacks {error}") from error
    return Profile(**fields)


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The profile {path} cannot be used: {why}.",
        remedy="Start `accel-daemon up` again, which writes it anew.",
    )


def _endpoint(url: str, ca_file: str | None, source: str, profile: Profile | None) -> Endpoint:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigurationError(
            f"{source} gives {url!r}, and only https:// endpoints are used.",
            remedy="Give https://HOST:PORT; there is no plain-text port.",
        )
    control = f"https://{parts.netloc}"
    mine = profile if profile is not None and profile.control == control else None
    return Endpoint(
        control=control,
        ca_file=ca_file or os.environ.get("ACCEL_CA_FILE") or (mine.ca_file if mine else None),
        region=mine.region if mine else _region(),
        source=source,
        profile=mine,
    )


def _region() -> str:
    variables = ("AWS_REGION", "AWS_DEFAULT_REGION")
    return next((os.environ[name] for name in variables if os.environ.get(name)), DEFAULT_REGION)
