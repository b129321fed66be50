"""Asks the running daemon of a home, the way any client would: over TLS, with a signature."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from accel_protocol.clock_skew import MOST_CORRECTIONS, server_time
from accel_protocol.errors import (
    ConfigurationError,
    ConnectionLostError,
    CredentialsError,
    PeerIdentityError,
    from_wire,
)
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

SERVICE = "elastic-inference"
TIMEOUT = urllib3.Timeout(connect=5.0, read=10.0)


def fetch_status(profile_path: Path) -> Mapping[str, Any]:
    """The daemon's answer to `GET /status`; raises as `call_daemon`."""
    return call_daemon(profile_path, "GET", "/status")


def call_daemon(profile_path: Path, method: str, path: str, body: bytes = b"") -> Mapping[str, Any]:
    """The daemon's answer to one request, which is signed with the profile's key.

    Raises:
        ConfigurationError: there is no usable profile.
        ConnectionLostError: the daemon cannot be reached.
        PeerIdentityError: what answers is not this daemon.
        AcceleratorError: what the daemon refused with.
    """
    profile, now = _read_profile(profile_path), datetime.now(UTC)
    for _ in range(MOST_CORRECTIONS):
        try:
            return _call(profile, method, path, body, now)
        except CredentialsError as error:
            if (told := server_time(error)) is None:
                raise
            now = told  # the daemon's clock is what counts
    return _call(profile, method, path, body, now)


def _call(
    profile: Mapping[str, str], method: str, path: str, body: bytes, now: datetime
) -> Mapping[str, Any]:
    headers = {
        "Host": urlsplit(profile["control"]).netloc,
        "Content-Type": "application/json",
        # So that two equal requests within one second are not taken for a replay.
        "X-Accel-Nonce": secrets.token_hex(16),
    }
    request = HttpRequest(method, path, "", tuple(headers.items()), body)
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    signed = sign(request, key, region=profile["region"], service=SERVICE, now=now)
    response = _send(profile, request, {**headers, **signed})
    answer = _read_json(response.data)
    if response.status != 200:
        raise from_wire(
            str(answer.get("reason", "INTERNAL")),
            str(answer.get("message", "The daemon refused.")),
            remedy=str(answer.get("remedy", "")),
            request_id=str(answer.get("requestId", "")),
            fields=_fields(answer.get("fields")),
        )
    return answer


def _read_profile(path: Path) -> Mapping[str, str]:
    try:
        profile = json.loads(path.read_bytes())
        names = ("control", "ca_file", "region", "access_key_id", "secret_access_key")
        return {name: str(profile[name]) for name in names}
    except FileNotFoundError:
        raise ConfigurationError("No daemon was started in this home yet.") from None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise ConfigurationError(f"{path} is not a complete client profile.") from None


def _send(
    profile: Mapping[str, str], request: HttpRequest, headers: Mapping[str, str]
) -> urllib3.BaseHTTPResponse:
    url = profile["control"] + request.path
    try:
        with urllib3.PoolManager(
            ca_certs=profile["ca_file"], cert_reqs="CERT_REQUIRED", retries=False, timeout=TIMEOUT
        ) as pool:
            return pool.request(request.method, url, body=request.body, headers=dict(headers))
    except urllib3.exceptions.SSLError:
        raise PeerIdentityError("What answers did not prove to be this home's daemon.") from None
    except (urllib3.exceptions.HTTPError, OSError):
        raise ConnectionLostError(f"The daemon does not answer at {profile['control']}.") from None


def _fields(value: object) -> dict[str, str]:
    return {key: str(one) for key, one in value.items()} if isinstance(value, dict) else {}


def _read_json(data: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}
