"""The paths of the REST API, and what each of them means.

Pure.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire.inference_pb2 import ModelSpec

_ANY = re.compile(r"/v1/.*", re.IGNORECASE)
_MODEL = r"/v1/models/(?P<name>[^/:]+)"
_VERSION = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"{_MODEL}{_VERSION}:(?P<method>classify|regress|predict)", re.IGNORECASE | re.ASCII
)
_GET = re.compile(
    rf"/v1/models(?:/(?P<name>[^/:]+))?{_VERSION}(?P<metadata>/metadata)?",
    re.IGNORECASE | re.ASCII,
)
_NAME = re.compile(_MODEL, re.IGNORECASE)
_HIGHEST_VERSION = 2**63 - 1


class Method(enum.StrEnum):
    """What a request asks for."""

    PREDICT = "predict"
    CLASSIFY = "classify"
    REGRESS = "regress"
    STATUS = "status"
    METADATA = "metadata"
    PUT = "put"
    REMOVE = "remove"


_CHANGES = {"PUT": Method.PUT, "DELETE": Method.REMOVE}


@dataclass(frozen=True)
class Target:
    """What a request's line names.

    Attributes:
        method: what to do.
        name: the model's, decoded.
        version, label: which version; None for the latest.
    """

    method: Method
    name: str
    version: int | None = None
    label: str | None = None

    def spec(self) -> ModelSpec:
        """The same as a message."""
        spec = ModelSpec(name=self.name)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label
        return spec


def is_served(path: str) -> bool:
    """Whether a path belongs to this API at all, even if it means nothing."""
    return _ANY.fullmatch(path) is not None


def parse(http_method: str, path: str, *, may_change: bool = False) -> Target:
    """What a request's line means.

    Args:
        http_method: as sent.
        path: as sent, with its percent signs and its query.
        may_change: whether models are added by PUT and removed by DELETE.

    Raises:
        ServingError: nothing, no model, or a version that is no 64-bit integer.
    """
    patterns = {
        "POST": _POST,
        "GET": _GET,
        **(dict.fromkeys(_CHANGES, _NAME) if may_change else {}),
    }
    pattern = patterns.get(http_method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise invalid(f"Malformed request: {http_method} {path}")
    parts = match.groupdict()
    version = _version(parts.get("version"))
    method = _CHANGES.get(http_method) or _method(parts)
    if method is None:
        raise invalid(f"Malformed request: {http_method} {path}")
    if parts["name"] is None:
        raise invalid("Missing model name in request.")
    label = parts.get("label")
    return Target(
        method, _decoded(parts["name"]), version, None if label is None else _decoded(label)
    )


def _method(parts: dict[str, str | None]) -> Method | None:
    """What a matching path asks for: case counts in this word alone."""
    if "method" in parts:
        word = parts["method"]
        return next((method for method in Method if method == word), None)
    return Method.METADATA if parts["metadata"] == "/metadata" else Method.STATUS


def _decoded(part: str) -> str:
    data = unquote_to_bytes(part.encode("utf-8", "surrogateescape"))
    return data.decode("utf-8", "replace")


def _version(digits: str | None) -> int | None:
    if digits is None:
        return None
    if len(digits) > 4000 or int(digits) > _HIGHEST_VERSION:
        raise invalid(f"Failed to convert version: {digits} to numeric.")
    return int(digits)
