"""API keys: the file that lists them, hashed, and whether one of them allows a request.

A line of the file is a name, the SHA-256 of the key, and the models it is for:

    # name    key                  models
    reporting sha256:5e88…1d8      mnist,half_plus_two
    operator  sha256:9f86…0a08     *

Only "*" allows what is about no single model, as to list or to reload them. Keys are long and
random (`openssl rand -hex 32`), so a plain hash of them cannot be turned back.

Pure.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError

_LINE = re.compile(r"(\S+)\s+sha256:([0-9a-fA-F]{64})\s+(\S+)")
_EVERY_MODEL = "*"
_BEARER = "bearer "


@dataclass(frozen=True)
class ApiKey:
    """One key.

    Attributes:
        name: for logs.
        digest: SHA-256 of the key.
        models: that it is for; None for all, and for what is about no single model.
    """

    name: str
    digest: bytes
    models: frozenset[str] | None


def parse_keys(text: str) -> tuple[ApiKey, ...]:
    """The keys of a file.

    Raises:
        ValueError: a line is none, or a name or a key is there twice; the message has its number.
    """
    keys: list[ApiKey] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        found = _LINE.fullmatch(words)
        if found is None:
            raise ValueError(f"line {number} is not `NAME sha256:HEX MODELS`")
        name, digest, models = found[1], bytes.fromhex(found[2]), found[3]
        if any(one.name == name or one.digest == digest for one in keys):
            raise ValueError(f"line {number} has a name or a key that is there already")
        chosen = None if models == _EVERY_MODEL else frozenset(models.split(","))
        keys.append(ApiKey(name, digest, chosen))
    return tuple(keys)


def presented(header: Callable[[str], str | None]) -> str | None:
    """The key that a request came with: `authorization: Bearer KEY` or `x-api-key: KEY`.

    Args:
        header: the value of a header by its name in small letters.
    """
    authorization = header("authorization") or ""
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip() or None
    return header("x-api-key") or None


def identify(keys: Sequence[ApiKey], key: str | None) -> ApiKey:
    """Which of the keys it is; takes equally long for every key that is wrong.

    Raises:
        ServingError: none was presented, or a wrong one (UNAUTHENTICATED).
    """
    if key is None:
        raise ServingError(
            Status.UNAUTHENTICATED,
            "An API key is needed: send it as `authorization: Bearer KEY` or as `x-api-key: KEY`.",
        )
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
    matches = [one for one in keys if hmac.compare_digest(one.digest, digest)]
    if not matches:
        raise ServingError(Status.UNAUTHENTICATED, "The API key is not one of this server's.")
    return matches[0]


def check_models(key: ApiKey, models: Collection[str] | None) -> None:
    """Whether a key allows a request.

    Args:
        key: whose request it is.
        models: that the request is about; None where it is about no single model.

    Raises:
        ServingError: it does not (PERMISSION_DENIED).
    """
    if key.models is None:
        return
    if models is None:
        raise ServingError(
            Status.PERMISSION_DENIED, f"The API key {key.name} is for single models only."
        )
    for model in models:
        if model not in key.models:
            raise ServingError(
                Status.PERMISSION_DENIED, f"The API key {key.name} is not for the model {model!r}."
            )
