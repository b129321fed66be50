"""ListTagsForResource, TagResource and UntagResource: `/tags/{resourceArn}`.

The ARN is one segment of the path, percent-encoded. The policies are asked about the accelerator
that it names before the accelerator is looked up, so a caller learns only about accelerators that
it may ask about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from aiohttp import web

from accel_daemon.control.holders import tell_again
from accel_daemon.control.service import Call, call_of, tag_keys
from accel_daemon.control.tag_store import TagStore
from accel_daemon.iam.request_context import ContextValue
from accel_protocol.errors import CallError, ConfigurationError

TAGS = web.AppKey("tags", TagStore)
MAX_TAGS = 50
MAX_KEY_CHARACTERS = 128
MAX_VALUE_CHARACTERS = 256
RESERVED_PREFIX = "aws:"
MAX_ARN_CHARACTERS = 1011

_ARN = re.compile(
    r"arn:aws[^\s:]*:elastic-inference:[^\s:]+:[0-9]{12}"
    r":elastic-inference-accelerator/(?P<id>eia-[0-9a-f]+)"
)


async def list_tags(request: web.Request) -> web.StreamResponse:
    """All tags of the accelerator."""
    accelerator = _accelerator(call_of(request), request)
    return web.json_response({"tags": dict(request.app[TAGS].get(accelerator))})


async def tag(request: web.Request) -> web.StreamResponse:
    """Add tags; a key that is there gets its new value."""
    call = call_of(request)
    tags = read_tags(call.json_body())
    keys = {**tag_keys("aws:RequestTag/", tags), "aws:TagKeys": list(tags)}
    accelerator = _accelerator(call, request, keys)
    merged = {**request.app[TAGS].get(accelerator), **tags}
    if len(merged) > MAX_TAGS:
        raise CallError(f"The accelerator would have more than {MAX_TAGS} tags.")
    await _replace(request, call, accelerator, merged)
    return web.json_response({})


async def untag(request: web.Request) -> web.StreamResponse:
    """Remove the tags with these keys; a key that is not there is none to remove."""
    call = call_of(request)
    gone = read_tag_keys(request.raw_path.partition("?")[2])
    accelerator = _accelerator(call, request, {"aws:TagKeys": gone})
    kept = {k: v for k, v in request.app[TAGS].get(accelerator).items() if k not in gone}
    await _replace(request, call, accelerator, kept)
    return web.json_response({})


async def _replace(
    request: web.Request, call: Call, accelerator: str, tags: Mapping[str, str]
) -> None:
    """Keep the tags, and tell the accelerator: policies may ask for them."""
    request.app[TAGS].replace(accelerator, tags)
    await tell_again(call.service, call.service.fleet.select(accelerator))


def read_arn(segment: str) -> tuple[str, str]:
    """The ARN in a percent-encoded segment of a path, and the accelerator's id in it.

    Raises:
        CallError: it is not the ARN of an accelerator.
    """
    try:
        arn = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        arn = ""
    parts = _ARN.fullmatch(arn)
    if parts is None or len(arn) > MAX_ARN_CHARACTERS:
        raise CallError("The resource is not the ARN of an accelerator.")
    return arn, parts["id"]


def read_tags(body: Mapping[str, object]) -> dict[str, str]:
    """The tags of a TagResource body.

    Raises:
        CallError: not 1 to 50 of them, or a key or a value that must not be.
    """
    tags = body.get("tags")
    if not isinstance(tags, dict) or not 1 <= len(tags) <= MAX_TAGS:
        raise CallError(f"`tags` is not an object with 1 to {MAX_TAGS} tags.")
    for key, value in tags.items():
        _check_key(key)
        _check_value(value)
    return tags


def read_tag_keys(query: str) -> Sequence[str]:
    """The keys of an UntagResource query, each as `tagKeys=…`.

    Raises:
        CallError: not 1 to 50 of them, or a key that cannot be one.
    """
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    try:
        keys = [unquote(value, errors="strict") for name, _, value in pairs if name == "tagKeys"]
    except UnicodeDecodeError:
        raise CallError("A tag's key in `tagKeys` is not UTF-8.") from None
    if not 1 <= len(keys) <= MAX_TAGS:
        raise CallError(f"`tagKeys` is not there 1 to {MAX_TAGS} times.")
    for key in keys:
        _check_key(key)
    return keys


def _accelerator(
    call: Call, request: web.Request, keys: Mapping[str, ContextValue] | None = None
) -> str:
    """The id of the accelerator that the path names, once the policies allow the action on it.

    `keys` are the condition keys that say what is to be done with which tags.

    Raises:
        CallError: the path names none.
        AccessDeniedError: the policies do not allow it.
        ConfigurationError: it is not there (ACCELERATOR_NOT_FOUND).
    """
    arn, accelerator = read_arn(_segment(request))
    if arn != call.service.accelerator_arn(accelerator):
        raise _not_found()  # of another account or region, about which nothing is allowed here
    if not call.allows(accelerator, keys):
        raise call.denied(accelerator[:40])
    if accelerator not in {one.id for one in call.service.fleet.accelerators}:
        raise _not_found()
    return accelerator


def _segment(request: web.Request) -> str:
    """What stands for {resourceArn}, as it was on the wire: the router may have decoded it."""
    return request.raw_path.partition("?")[0].removeprefix("/tags/")


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS or not key.isprintable() or key.isspace():
        raise CallError(f"A tag's key is not 1 to {MAX_KEY_CHARACTERS} printable characters.")
    if key.lower().startswith(RESERVED_PREFIX):
        raise CallError(f"A tag's key must not begin with {RESERVED_PREFIX!r}.")


def _check_value(value: object) -> None:
    is_text = isinstance(value, str) and value.isprintable()
    if not isinstance(value, str) or not is_text or len(value) > MAX_VALUE_CHARACTERS:
        raise CallError(
            f"A tag's value is not at most {MAX_VALUE_CHARACTERS} printable characters."
        )


def _not_found() -> ConfigurationError:
    return ConfigurationError("There is no such accelerator.", reason="ACCELERATOR_NOT_FOUND")
