"""Which accelerators this process may use, as the control endpoint lists them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from accel_protocol.accelerator_types import published_type
from accel_protocol.errors import ConnectionLostError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery import visible_devices
from client_runtime.discovery.credentials import find_credentials
from client_runtime.discovery.endpoints import Endpoint, discover
from client_runtime.discovery.visible_devices import Known
from client_runtime.transport import grants


@dataclass(frozen=True)
class Accelerator:
    """One accelerator that is visible.

    Attributes:
        id: "eia-…".
        type: for instance "host" or "eia2.medium".
        ordinal: what `accelerator_id` means it by: its place among the visible ones, from 0.
        status: "Ok", or what the endpoint says instead.
        control: the control endpoint that offers it, "https://HOST:PORT".
        source: where that was found.
        endpoint: "HOST:PORT" of its gRPC server; None when the control endpoint does not tell.
        used_memory_bytes: by loaded models; None when the control endpoint does not tell.
        memory_bytes: of the emulated type; None for `host`, whose memory is the machine's.
        tera_flops_16, tera_flops_32: published throughput of the emulated type by float width, in
            10^12 operations a second; None for `host`.
        paced: whether runs take as long as that throughput would have them.
        sandbox: what confines it, in words that begin with the level; None as above.
    """

    id: str
    type: str
    ordinal: int
    status: str
    control: str
    source: str
    endpoint: str | None = None
    used_memory_bytes: int | None = None
    memory_bytes: int | None = None
    tera_flops_16: int | None = None
    tera_flops_32: int | None = None
    paced: bool = False
    sandbox: str | None = None


def accelerators(
    endpoint: str | None = None,
    *,
    ca_file: str | None = None,
    credentials: AccessKey | None = None,
) -> tuple[Accelerator, ...]:
    """The visible accelerators by ordinal, as EI_VISIBLE_DEVICES selects and renumbers them.

    Args:
        endpoint: control endpoint, "https://HOST:PORT"; by default what discovery finds.
        ca_file: PEM file of the authority that must have signed the endpoint's certificate.
        credentials: the access key; by default the profile's, else the AWS chain's.

    Raises:
        ConfigurationError: nothing to connect to, or nothing is visible.
        CredentialsError, AccessDeniedError, PeerIdentityError, ConnectionLostError
    """
    found = discover(endpoint, ca_file)
    return list_accelerators(found, credentials or find_credentials(found))


def list_accelerators(endpoint: Endpoint, key: AccessKey) -> tuple[Accelerator, ...]:
    """The same for an endpoint that was found already."""
    answer = grants.call(endpoint, key, "POST", "/describe-accelerators", b"{}")
    try:
        offered = read_answer(answer, endpoint)
    except (KeyError, TypeError, AttributeError):
        raise ConnectionLostError(
            "The control endpoint's list of accelerators cannot be understood.",
            remedy="Check the endpoint's host and port.",
        ) from None
    return choose_visible(offered, endpoint, os.environ.get(visible_devices.VARIABLE))


def read_answer(answer: Mapping[str, Any], endpoint: Endpoint) -> list[Accelerator]:
    """What DescribeAccelerators said, with the endpoint's own ordinals."""
    details = {one["acceleratorId"]: one for one in answer.get("acceleratorDetails") or []}
    return [
        _accelerator(row, details.get(row["acceleratorId"], {}), place, endpoint)
        for place, row in enumerate(answer["acceleratorSet"])
    ]


def _accelerator(
    row: Mapping[str, Any], details: Mapping[str, Any], place: int, endpoint: Endpoint
) -> Accelerator:
    used = details.get("usedMemoryBytes")
    kind = _text(row["acceleratorType"])
    published = published_type(kind)
    return Accelerator(
        id=_text(row["acceleratorId"]),
        type=kind,
        ordinal=_count(details.get("ordinal", place)),
        status=_text(row["acceleratorHealth"]["status"]),
        control=endpoint.control,
        source=endpoint.source,
        endpoint=_text(details["endpoint"]) if details.get("endpoint") else None,
        used_memory_bytes=None if used is None else _count(used),
        memory_bytes=published.memory_bytes if published else None,
        tera_flops_16=published.tera_flops_16 if published else None,
        tera_flops_32=published.tera_flops_32 if published else None,
        paced=details.get("paced") is True,
        sandbox=_text(details["sandbox"]) if details.get("sandbox") else None,
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise TypeError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise TypeError
    return value


def choose_visible(
    offered: list[Accelerator], endpoint: Endpoint, variable: str | None
) -> tuple[Accelerator, ...]:
    """Those of the offered ones that are attached and visible, renumbered.

    Raises:
        ConfigurationError: nothing is visible, or the variable names what is not there.
    """
    by_id = {one.id: one for one in offered}
    known = [Known(one.id, one.ordinal) for one in offered]
    if endpoint.accelerators:
        attached = [one for one in endpoint.accelerators if one in by_id]
        known = [Known(one, place) for place, one in enumerate(attached)]
    ids = visible_devices.resolve(None, variable, known)
    return tuple(_renumbered(by_id[one], place) for place, one in enumerate(ids))


def _renumbered(accelerator: Accelerator, ordinal: int) -> Accelerator:
    return replace(accelerator, ordinal=ordinal)
