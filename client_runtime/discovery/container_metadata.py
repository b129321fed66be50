"""What ECS container metadata says about the accelerators of this task.

    GET <uri>/associations/elastic-inference            {"Associations": ["device_1"]}
    GET <uri>/associations/elastic-inference/device_1   a JSON object: the accelerator's id and
                                                        type, and, ours, "endpoint": who serves it

What Amazon's control plane put into an association was never published; its EC2 form is understood
with and without the member around it that names a version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from client_runtime.discovery.bounded_http import Deadline, ExchangeError, Reply, exchange
from client_runtime.discovery.instance_metadata import MAX_ACCELERATORS, SHUT_DOWN, Attached
from client_runtime.discovery.trail import printable

SOURCE = "ECS container metadata"
VARIABLES = ("ECS_CONTAINER_METADATA_URI_V4", "ECS_CONTAINER_METADATA_URI")
TOTAL_SECONDS = 2.0
CONNECT_SECONDS = 0.3

_ID_MEMBER = "elastic-inference-accelerator-id"
_ID = re.compile(r"eia-[0-9a-f]{1,64}")


def address(environment: Mapping[str, str]) -> tuple[str | None, str]:
    """Where to ask: the task's metadata URI, or None and the reason why nothing is asked."""
    for variable in VARIABLES:
        if chosen := environment.get(variable):
            return chosen.rstrip("/"), ""
    return None, f"not asked: {' and '.join(VARIABLES)} are not set"


def ask(base: str, seconds: float = TOTAL_SECONDS) -> Attached:
    """Ask the agent at `base`.

    Raises:
        ExchangeError: it cannot be asked, or knows of no accelerator that can be used; why.
    """
    deadline = Deadline.after(seconds, min(CONNECT_SECONDS, seconds))
    folder = f"{base}/associations/elastic-inference"
    names = read_names(exchange("GET", folder, deadline))
    values = [
        read_association(name, exchange("GET", f"{folder}/{quote(name, safe='')}", deadline))
        for name in names
    ]
    return combine(values)


def read_names(reply: Reply) -> list[str]:
    """The associations' names.

    Raises:
        ExchangeError: there are none, or what is there is something else.
    """
    if reply.status != 200:
        raise ExchangeError(f"it lists no associations (status {reply.status})")
    names = _object(reply, "its list of associations").get("Associations")
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise ExchangeError("its list of associations is malformed")
    if not names or len(names) > MAX_ACCELERATORS:
        raise ExchangeError(f"it lists {len(names)} accelerators")
    return list(dict.fromkeys(names))


def read_association(name: str, reply: Reply) -> tuple[str, str | None]:
    """The accelerator's id, and its endpoint if that is told.

    Raises:
        ExchangeError: the association cannot be understood.
    """
    what = f"the association {printable(name, 24)!r}"
    if reply.status != 200:
        raise ExchangeError(f"{what} cannot be read (status {reply.status})")
    value = _object(reply, what)
    if _ID_MEMBER not in value:
        value = next((one for one in value.values() if isinstance(one, dict)), value)
    accelerator_id, endpoint = value.get(_ID_MEMBER), value.get("endpoint")
    if not isinstance(accelerator_id, str) or not _ID.fullmatch(accelerator_id):
        raise ExchangeError(f"{what} names no accelerator")
    if endpoint is not None and not isinstance(endpoint, str):
        raise ExchangeError(f"{what} has an endpoint that is not a text")
    return accelerator_id, endpoint


def combine(values: list[tuple[str, str | None]]) -> Attached:
    """The accelerators of one endpoint, which all must name.

    Raises:
        ExchangeError: there is no endpoint, or there are several.
    """
    endpoints = {endpoint for _, endpoint in values if endpoint}
    if not endpoints:
        raise ExchangeError(f"it names {len(values)} accelerator(s), but {SHUT_DOWN}")
    if len(endpoints) > 1 or not all(endpoint for _, endpoint in values):
        raise ExchangeError("its associations do not all name the same endpoint")
    return Attached(endpoints.pop(), tuple(dict.fromkeys(one for one, _ in values)), None)


def _object(reply: Reply, what: str) -> dict[str, Any]:
    try:
        value = json.loads(reply.body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ExchangeError(f"{what} is not a JSON object")
    return value
