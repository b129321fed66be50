"""`Connect`: from an access key to a ticket for one accelerator, by a signed HTTPS request."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accel_protocol import errors, sigv4
from accel_protocol.errors import ConfigurationError, ConnectionLostError, PeerIdentityError
from accel_protocol.limits import PROTOCOL_VERSION
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery import Endpoint

_SERVICE = "elastic-inference"
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_RENEW_AT = 0.6  # of a ticket's life; early enough to try again before it ends


@dataclass(frozen=True)
class Grant:
    """Permission to use one accelerator for a while.

    Attributes:
        accelerator_id, accelerator_type, ordinal: which one.
        address: "HOST:PORT" of its gRPC server.
        server_name: the name its certificate must carry.
        ticket: what to show it.
        renew_at: time.monotonic() from which a new grant should be asked for.
    """

    accelerator_id: str
    accelerator_type: str
    ordinal: int
    address: str
    server_name: str
    ticket: str = field(repr=False)
    renew_at: float = 0.0


def request_grant(endpoint: Endpoint, key: AccessKey, accelerator: str | int | None) -> Grant:
    """Ask the control endpoint for a ticket.

    Args:
        endpoint: whom to ask.
        key: who asks.
        accelerator: an id ("eia-…"), an ordinal, or None for whichever is free.

    Raises:
        PeerIdentityError: the endpoint's certificate is not of the expected authority.
        CredentialsError, AccessDeniedError: the request was refused.
        ConnectionLostError, BusyError: nobody answers, or no accelerator is free now.
    """
    asked = {
        "accelerator": accelerator,
        "minVersion": PROTOCOL_VERSION,
        "maxVersion": PROTOCOL_VERSION,
    }
    started = time.monotonic()
    answer = call(endpoint, key, "POST", "/connect", json.dumps(asked).encode())
    chosen = answer["accelerator"]
    return Grant(
        accelerator_id=chosen["id"],
        accelerator_type=chosen["type"],
        ordinal=chosen["ordinal"],
        address=chosen["endpoint"],
        server_name=chosen["serverName"],
        ticket=answer["ticket"],
        renew_at=started + answer["ticketExpiresIn"] * _RENEW_AT,
    )


def call(endpoint: Endpoint, key: AccessKey, method: str, path: str, body: bytes = b"") -> Any:
    """One signed request to the control endpoint; the answer's JSON.

    Raises:
        AcceleratorError: as the endpoint refused it, or as the network failed.
    """
    host = endpoint.control.removeprefix("https://")
    headers = {"Host": host, "Content-Type": "application/json"}
    request = sigv4.HttpRequest(method, path, "", tuple(headers.items()), body)
    now = datetime.now(UTC)
    signed = sigv4.sign(request, key, region=endpoint.region, service=_SERVICE, now=now)
    status, answer = _exchange(endpoint, method, path, body, {**headers, **signed})
    if status == 200:
        return answer
    raise errors.from_wire(
        str(answer.get("reason", "")),
        str(answer.get("message", f"The control endpoint answered with status {status}.")),
        remedy=str(answer.get("remedy", "")),
        request_id=str(answer.get("requestId", "")),
        fields={str(k): str(v) for k, v in (answer.get("fields") or {}).items()},
        status=14 if status in (502, 503, 504) else None,
    )


def _exchange(
    endpoint: Endpoint, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, Any]:
    import urllib3

    try:
        with urllib3.PoolManager(cert_reqs="REQUIRED", ca_certs=_ca_file(endpoint)) as pool:
            response = pool.request(
                method,
                endpoint.control + path,
                body=body,
                headers=headers,
                retries=False,
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_ANSWER_SECONDS),
            )
    except urllib3.exceptions.SSLError as error:
        # `from None`: the chain below is urllib3's own business and buries the remedy.
        raise PeerIdentityError(
            f"{endpoint.control} (from {endpoint.source}) did not prove its identity: {error}"
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionLostError(
            f"{endpoint.control} (from {endpoint.source}) cannot be reached: {error}"
        ) from None
    return response.status, _json(response.data)


def _ca_file(endpoint: Endpoint) -> str | None:
    if endpoint.ca_file is not None:
        try:
            with open(endpoint.ca_file, "rb"):
                pass
        except OSError as error:
            raise ConfigurationError(
                f"The CA file {endpoint.ca_file} cannot be read: {error.strerror}.",
                remedy="Point ca_file or ACCEL_CA_FILE at the daemon's ca.pem.",
            ) from error
    return endpoint.ca_file


def _json(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConnectionLostError(
            "The control endpoint's answer is not one of an accelerator daemon.",
            remedy="Check the endpoint's host and port.",
        )
    return value
