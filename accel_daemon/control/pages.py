"""What DescribeAccelerators is asked for: ids, filters and a page. Pure.

A token for the next page names the last row of the page before and the question it belongs to, so
it is good after a restart of the daemon, and for no other question. It is opaque but not secret: it
holds an id that its owner has just seen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accel_protocol.errors import CallError

MAX_IDS = 1000
MAX_FILTERS = 100
MAX_VALUES = 100
MAX_RESULTS = 100
MAX_TOKEN_CHARACTERS = 2048

# AWS's documents call the first one by either name.
FILTERED_MEMBERS: Mapping[str, str] = {
    "accelerator-type": "acceleratorType",
    "accelerator-types": "acceleratorType",
    "instance-id": "instanceId",
}
_TOKEN = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Filter:
    """One condition: the row's `name` is one of `values`."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """What one call of DescribeAccelerators asks for.

    Attributes:
        ids: of accelerators; empty when all are meant.
        filters: all of them have to hold.
        max_results: rows of one page; None when all are to be on it.
        after: id of the last row of the page before; None for the first page.
    """

    ids: tuple[str, ...] = ()
    filters: tuple[Filter, ...] = ()
    max_results: int | None = None
    after: str | None = None


def read_question(body: Mapping[str, object]) -> Question:
    """The question that a body asks.

    Raises:
        CallError: a member is malformed, over its limit, or the token is of another question.
    """
    ids = tuple(dict.fromkeys(_read_texts(body, "acceleratorIds", MAX_IDS)))
    filters = _read_filters(body.get("filters"))
    token = body.get("nextToken")
    return Question(
        ids=ids,
        filters=filters,
        max_results=_read_max_results(body.get("maxResults")),
        after=None if token is None else _read_token(token, _digest(ids, filters)),
    )


def matches(filters: Sequence[Filter], members: Mapping[str, str]) -> bool:
    """Whether a row passes all filters.

    Args:
        filters: as read.
        members: "acceleratorType" and "instanceId" of the row.
    """
    return all(members[FILTERED_MEMBERS[one.name]] in one.values for one in filters)


def cut_page(question: Question, ids: Sequence[str]) -> tuple[Sequence[str], str | None]:
    """The ids of the page that is asked for, and the token for the next one if there is one.

    Raises:
        CallError: the row that the token names is no longer there.
    """
    if question.after is not None and question.after not in ids:
        raise _wrong_token()
    start = 0 if question.after is None else ids.index(question.after) + 1
    rest = ids[start:]
    if question.max_results is None or len(rest) <= question.max_results:
        return rest, None
    page = rest[: question.max_results]
    return page, write_token(question, page[-1])


def write_token(question: Question, last: str) -> str:
    """The token for what comes after the row with the id `last`."""
    content = {"after": last, "question": _digest(question.ids, question.filters)}
    return base64.b64encode(json.dumps(content).encode()).decode()


def _read_texts(body: Mapping[str, object], name: str, limit: int) -> list[str]:
    texts = body.get(name)
    if texts is None:
        return []
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise CallError(f"`{name}` is not a list of texts.")
    if len(texts) > limit:
        raise CallError(f"`{name}` holds more than {limit} texts.")
    return texts


def _read_filters(value: object) -> tuple[Filter, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_FILTERS:
        raise CallError(f"`filters` is not a list of at most {MAX_FILTERS} filters.")
    return tuple(_read_filter(one) for one in value)


def _read_filter(value: object) -> Filter:
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(name, str) or name not in FILTERED_MEMBERS:
        raise CallError(f"The `name` of a filter is one of {', '.join(FILTERED_MEMBERS)}.")
    return Filter(name, tuple(_read_texts(value, "values", MAX_VALUES)))


def _read_max_results(value: object) -> int | None:
    """0 asks for our own page size, which is all rows."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RESULTS:
        raise CallError(f"`maxResults` is not an integer from 0 to {MAX_RESULTS}.")
    return value or None


def _read_token(token: object, question: str) -> str:
    if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARACTERS:
        raise _wrong_token()
    if not _TOKEN.fullmatch(token):
        raise _wrong_token()
    try:
        content = json.loads(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _wrong_token() from None
    after = content.get("after") if isinstance(content, dict) else None
    if not isinstance(after, str) or content.get("question") != question:
        raise _wrong_token()
    return after


def _digest(ids: Sequence[str], filters: Sequence[Filter]) -> str:
    text = json.dumps([list(ids), [[one.name, *one.values] for one in filters]])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _wrong_token() -> CallError:
    return CallError(
        "`nextToken` is not one that this question was answered with.",
        remedy="Ask again from the first page.",
    )
