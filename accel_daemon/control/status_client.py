"""Asks the running daemon for its status, the way any client would: over TLS, with a signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from accel_protocol.errors import (
    ConfigurationError,
    ConnectionLostError,
    PeerIdentityError,
    from_wire,
)
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

SERVICE = "elastic-inference"
TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)


def fetch_status(profile_path: Path) -> Mapping[str, Any]:
    """The daemon's answer to `GET /status`.

    Raises:
        ConfigurationError: there is no usable profile.
        ConnectionLostError: the daemon cannot be reached.
        PeerIdentityError: what answers is not this daemon.
        AcceleratorError: what the daemon refused with.
    """
    profile = _read_profile(profile_path)
    request = HttpRequest(
        "GET", "/status", "", (("Host", urlsplit(profile["control"]).netloc),), b""
    )
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    signed = sign(request, key, region=profile["region"], service=SERVICE, now=datetime.now(UTC))
    response = _send(profile, {**dict(request.headers), **signed})
    body = _read_json(response.data)
    if response.status != 200:
        raise from_wire(
            str(body.get("reason", "INTERNAL")),
            str(body.get("message", "The daemon refused.")),
            remedy=str(body.get("remedy", "")),
            request_id=str(body.get("requestId", "")),
        )
    return body


def _read_profile(path: Path) -> Mapping[str, str]:
    try:
        profile = json.loads(path.read_bytes())
        names = ("control", "ca_file", "region", "access_key_id", "secret_access_key")
        return {name: str(profile[name]) for name in names}
    except FileNotFoundError:
        raise ConfigurationError("No daemon was started in this home yet.") from None
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{path} is not a complete client profile.") from None


def _send(profile: Mapping[str, str], headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    try:
        with urllib3.PoolManager(
            ca_certs=profile["ca_file"], cert_reqs="CERT_REQUIRED", retries=False, timeout=TIMEOUT
        ) as pool:
            return pool.request("GET", f"{profile['control']}/status", headers=dict(headers))
    except urllib3.exceptions.SSLError:
        raise PeerIdentityError("What answers did not prove to be this home's daemon.") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise ConnectionLostError(f"The daemon does not answer at {profile['control']}.") from None


def _read_json(data: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}
