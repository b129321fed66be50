"""What EC2 instance metadata says about attached accelerators, as the original client asked it.

    associations   the ids of the attached accelerators, one a line
    endpoint       ours: who serves them; Amazon's own service was shut down and is not tried
    placement/     the region

Version 2 of the service (a token first) is used where it is offered. The default address is asked
only on what looks like an EC2 instance: elsewhere the question would cost time, and whoever sits in
the same network could answer it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client_runtime.discovery.bounded_http import Deadline, ExchangeError, Reply, exchange
from client_runtime.discovery.trail import printable

SOURCE = "EC2 instance metadata"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
V1_DISABLED_VARIABLE = "AWS_EC2_METADATA_V1_DISABLED"
DEFAULT_ADDRESS = "http://169.254.169.254"
TOTAL_SECONDS = 2.0
CONNECT_SECONDS = 0.3
MAX_ACCELERATORS = 64

_DATA = "/latest/meta-data"
_TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
_TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
_TTL_SECONDS = 60
_NO_VERSION_2 = (403, 404, 405)
_ID = re.compile(r"eia-[0-9a-f]{1,64}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_TOKEN = re.compile(r"[!-~]{1,1024}")
SHUT_DOWN = "only Amazon's own service would serve them, and that was shut down in 2024"


@dataclass(frozen=True)
class Attached:
    """What metadata told.

    Attributes:
        endpoint: the control endpoint as it was written there; to be checked like any other.
        accelerators: ids in the order in which they were listed.
        region: None when it was not told.
    """

    endpoint: str
    accelerators: tuple[str, ...]
    region: str | None


def address(environment: Mapping[str, str], is_ec2: bool) -> tuple[str | None, str]:
    """Where to ask: the service's address, or None and the reason why nothing is asked."""
    if environment.get(DISABLED_VARIABLE, "").lower() == "true":
        return None, f"not asked: {DISABLED_VARIABLE} is true"
    if chosen := environment.get(ENDPOINT_VARIABLE):
        return chosen.rstrip("/"), ""
    if is_ec2:
        return DEFAULT_ADDRESS, ""
    return None, f"not asked: {ENDPOINT_VARIABLE} is not set and this is no EC2 instance"


def is_ec2_instance(system: Path = Path("/sys")) -> bool:
    """Whether this machine's firmware or hypervisor says that it is one of EC2's."""
    vendor = _first_line(system / "class" / "dmi" / "id" / "sys_vendor")
    identities = ("class/dmi/id/product_uuid", "class/dmi/id/product_version", "hypervisor/uuid")
    texts = [_first_line(system / name) for name in identities]
    return vendor == "Amazon EC2" or any(
        text.lower().startswith("ec2") or text.endswith(".amazon") for text in texts
    )


def ask(base: str, environment: Mapping[str, str], seconds: float = TOTAL_SECONDS) -> Attached:
    """Ask the service at `base`.

    Raises:
        ExchangeError: it cannot be asked, or knows of no accelerator that can be used; why.
    """
    deadline = Deadline.after(seconds, min(CONNECT_SECONDS, seconds))
    allows_v1 = environment.get(V1_DISABLED_VARIABLE, "").lower() != "true"
    headers = _token_headers(base, deadline, allows_v1)

    def get(path: str) -> Reply:
        return exchange("GET", f"{base}{_DATA}/{path}", deadline, headers=headers)

    ids = read_ids(get("elastic-inference/associations"))
    endpoint = get("elastic-inference/endpoint")
    if endpoint.status != 200 or not endpoint.text:
        raise ExchangeError(f"it names {len(ids)} accelerator(s), but {SHUT_DOWN}")
    region = read_region(get("placement/region"), zone=False)
    region = region or read_region(get("placement/availability-zone"), zone=True)
    return Attached(endpoint.text, ids, region)


def _token_headers(base: str, deadline: Deadline, allows_v1: bool) -> dict[str, str]:
    ttl = {_TTL_HEADER: str(_TTL_SECONDS)}
    reply = exchange("PUT", f"{base}/latest/api/token", deadline, headers=ttl)
    if reply.status == 200 and _TOKEN.fullmatch(reply.text):
        return {_TOKEN_HEADER: reply.text}
    if reply.status not in _NO_VERSION_2:
        raise ExchangeError(f"it gave no token (status {reply.status})")
    if not allows_v1:
        raise ExchangeError(f"it offers version 1 only, and {V1_DISABLED_VARIABLE} is true")
    return {}


def read_ids(reply: Reply) -> tuple[str, ...]:
    """The accelerators' ids, in the order of the list.

    Raises:
        ExchangeError: there are none, or what is there is something else.
    """
    if reply.status == 404:
        raise ExchangeError("no accelerator is associated with this instance")
    if reply.status != 200:
        raise ExchangeError(f"it answered with status {reply.status}")
    ids = tuple(dict.fromkeys(reply.text.split()))
    wrong = next((one for one in ids if not _ID.fullmatch(one)), None)
    if wrong is not None:
        raise ExchangeError(f"it lists {printable(wrong, 24)!r}, which is no accelerator's id")
    if not ids or len(ids) > MAX_ACCELERATORS:
        raise ExchangeError(f"it lists {len(ids)} accelerators")
    return ids


def read_region(reply: Reply, *, zone: bool) -> str | None:
    """The region in an answer, which for a zone is its name without the letter at the end."""
    text = reply.text[:-1] if zone else reply.text
    return text if reply.status == 200 and _REGION.fullmatch(text) else None


def _first_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").partition("\n")[0].strip()
    except OSError:
        return ""
