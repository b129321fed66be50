"""`Connect`: from an access key to a ticket for one accelerator, by a signed HTTPS request."""

from __future__ import annotations

import json
import logging
import os
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from accel_protocol import errors, sigv4
from accel_protocol.clock_skew import MOST_CORRECTIONS, server_time
from accel_protocol.elapsed import elapsed_seconds
from accel_protocol.errors import (
    AcceleratorError,
    ConfigurationError,
    ConnectionLostError,
    CredentialsError,
    PeerIdentityError,
)
from accel_protocol.limits import PROTOCOL_VERSION
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery import visible_devices
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.discovery.visible_devices import Known, Question

_log = logging.getLogger(__name__)

# Signed: without it, two equal requests within one second would have one signature, and the daemon
# would take the second for a replay of the first.
NONCE_HEADER = "X-Accel-Nonce"
_SERVICE = "elastic-inference"
_CONNECT_SECONDS = 5.0
# X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_OTHER_TIME = (9, 10)
_CLOCK_REMEDY = "Check this machine's clock, and the daemon's."
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
        renew_at: elapsed_seconds() from which a new grant should be asked for.
        lane_address: "HOST:PORT" where it accepts lanes; "" for nowhere.
        local_lane: the name of its lanes on its own host; "" for none.
    """

    accelerator_id: str
    accelerator_type: str
    ordinal: int
    address: str
    server_name: str
    ticket: str = field(repr=False)
    renew_at: float = 0.0
    lane_address: str = ""
    local_lane: str = ""


def request_grant(endpoint: Endpoint, key: AccessKey, accelerator: str | int | None) -> Grant:
    """Ask the control endpoint for a ticket. EI_VISIBLE_DEVICES decides what may be asked for.

    Args:
        endpoint: whom to ask.
        key: who asks.
        accelerator: an id ("eia-…"), an ordinal among the visible ones, or None for the first of
            them that is free.

    Raises:
        ConfigurationError: no such accelerator, or none is visible.
        PeerIdentityError: the endpoint's certificate is not of the expected authority.
        CredentialsError, AccessDeniedError: the request was refused.
        ConnectionLostError, BusyError: nobody answers, or no accelerator is free now.
    """
    visible = os.environ.get(visible_devices.VARIABLE)
    question = _question(endpoint, accelerator, visible)
    asked: dict[str, object] = {
        "accelerator": question.accelerator,
        "minVersion": PROTOCOL_VERSION,
        "maxVersion": PROTOCOL_VERSION,
    }
    if question.visible is not None:
        asked["accelerators"] = list(question.visible)
    started = elapsed_seconds()
    answer = call(endpoint, key, "POST", "/connect", json.dumps(asked).encode())
    try:
        return _grant(endpoint, answer, visible, started)
    except (KeyError, TypeError):
        raise _no_daemon() from None


def _question(endpoint: Endpoint, accelerator: str | int | None, visible: str | None) -> Question:
    if not endpoint.accelerators:
        return visible_devices.ask(accelerator, visible)
    ids = visible_devices.resolve(accelerator, visible, _attached(endpoint))
    return Question(ids[0], None) if len(ids) == 1 else Question(None, tuple(ids))


def _attached(endpoint: Endpoint) -> list[Known]:
    return [Known(one, ordinal) for ordinal, one in enumerate(endpoint.accelerators)]


def _grant(
    endpoint: Endpoint, answer: Mapping[str, Any], visible: str | None, started: float
) -> Grant:
    chosen = answer["accelerator"]
    known = Known(_text(chosen["id"]), _whole(chosen["ordinal"]))
    return Grant(
        accelerator_id=known.id,
        accelerator_type=_text(chosen["type"]),
        ordinal=_ordinal(endpoint, visible, known),
        address=_text(chosen["endpoint"]),
        server_name=_text(chosen["serverName"]),
        ticket=_text(answer["ticket"]),
        renew_at=started + _whole(answer["ticketExpiresIn"]) * _RENEW_AT,
        lane_address=_text(chosen.get("laneEndpoint", "")),
        local_lane=_text(chosen.get("localLane", "")),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise TypeError
    return value


def _ordinal(endpoint: Endpoint, visible: str | None, chosen: Known) -> int:
    if not endpoint.accelerators:
        return visible_devices.visible_ordinal(visible, chosen)
    ids = visible_devices.resolve(None, visible, _attached(endpoint))
    if chosen.id not in ids:
        raise visible_devices.not_visible(chosen.id)
    return ids.index(chosen.id)


def call(endpoint: Endpoint, key: AccessKey, method: str, path: str, body: bytes = b"") -> Any:
    """One signed request to the control endpoint; the answer's JSON.

    Where this machine's clock and the daemon's differ too much, the daemon's counts.

    Raises:
        AcceleratorError: as the endpoint refused it, or as the network failed.
    """
    now = datetime.now(UTC)
    for _ in range(MOST_CORRECTIONS):
        try:
            return _call(endpoint, key, method, path, body, now)
        except CredentialsError as error:
            told = server_time(error)
            if told is None:
                raise
            _log.warning("%s Signing again with the daemon's time.", error.message)
            now = told
    return _call(endpoint, key, method, path, body, now)


def _call(
    endpoint: Endpoint, key: AccessKey, method: str, path: str, body: bytes, now: datetime
) -> Any:
    host = endpoint.control.removeprefix("https://")
    headers = {
        "Host": host,
        "Content-Type": "application/json",
        NONCE_HEADER: secrets.token_hex(16),
    }
    request = sigv4.HttpRequest(method, path, "", tuple(headers.items()), body)
    signed = sigv4.sign(request, key, region=endpoint.region, service=_SERVICE, now=now)
    status, answer = _exchange(endpoint, method, path, body, {**headers, **signed})
    if status == 200:
        return answer
    raise _refusal(status, answer)


def _refusal(status: int, answer: Mapping[str, Any]) -> AcceleratorError:
    fields = answer.get("fields")
    return errors.from_wire(
        str(answer.get("reason", "")),
        str(answer.get("message", f"The control endpoint answered with status {status}.")),
        remedy=str(answer.get("remedy", "")),
        request_id=str(answer.get("requestId", "")),
        fields={k: str(v) for k, v in fields.items()} if isinstance(fields, dict) else None,
        status=14 if status in (502, 503, 504) else None,
    )


def _exchange(
    endpoint: Endpoint, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, Any]:
    import urllib3

    try:
        with urllib3.PoolManager(ssl_context=trusting(endpoint.ca_file)) as pool:
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
            f"{endpoint.control} (from {endpoint.source}) did not prove its identity: {error}",
            remedy=_CLOCK_REMEDY if _is_of_another_time(error) else "",
        ) from None
    except urllib3.exceptions.HTTPError as error:
        raise ConnectionLostError(
            f"{endpoint.control} (from {endpoint.source}) cannot be reached: {error}"
        ) from None
    return response.status, _json(response.data)


def _is_of_another_time(error: Exception) -> bool:
    """Whether a certificate was refused only because it is not valid yet, or not any more."""
    cause = error.args[0] if error.args else None
    code = getattr(cause, "verify_code", None)
    return isinstance(cause, ssl.SSLCertVerificationError) and code in _OTHER_TIME


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """A TLS 1.2+ context that trusts one authority, or for None the system's.

    Raises:
        ConfigurationError: the file cannot be read, or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except ssl.SSLError:
        why = "it holds no certificate in PEM"
    except OSError as error:
        why = error.strerror or "it cannot be opened"
    else:
        return context
    raise ConfigurationError(
        f"The CA file {ca_file} cannot be read: {why}.",
        remedy="Point ca_file or ACCEL_CA_FILE at the daemon's ca.pem.",
    )


def _json(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _no_daemon()
    return value


def _no_daemon() -> ConnectionLostError:
    return ConnectionLostError(
        "The control endpoint's answer is not one of an accelerator daemon.",
        remedy="Check the endpoint's host and port.",
    )
