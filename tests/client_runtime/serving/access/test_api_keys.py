"""API keys let in whom they name, for the models they name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.access.api_keys import (
    check_models,
    identify,
    parse_keys,
    presented,
)
from client_runtime.serving.statuses import ServingError


def digest(key: str) -> str:
    """As the file has it."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


FILE = f"""
# name  key  models
reader  {digest("one")}   mnist,half_plus_two

admin\t{digest("two").upper().replace("SHA", "sha")} *
"""


def test_a_file_is_read() -> None:
    """Comments and empty lines are none, capital hex digits are digits."""
    reader, admin = parse_keys(FILE)

    assert (reader.name, reader.models) == ("reader", {"mnist", "half_plus_two"})
    assert (admin.name, admin.models) == ("admin", None)


@pytest.mark.parametrize(
    "line",
    ["a", f"a {digest('x')}", f"a {digest('x')[:-1]} *", "a one *", f"a {digest('x')} * b"],
)
def test_a_line_that_is_none_is_named(line: str) -> None:
    """By its number."""
    with pytest.raises(ValueError, match="line 2"):
        parse_keys(f"# first\n{line}")


@pytest.mark.parametrize("line", [f"a {digest('y')} *", f"b {digest('x')} *"])
def test_names_and_keys_are_there_once(line: str) -> None:
    """Else a key that was taken back could still be there."""
    with pytest.raises(ValueError, match="line 2"):
        parse_keys(f"a {digest('x')} m\n{line}")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"x-api-key": "k"}, "k"),
        ({"authorization": "Basic k", "x-api-key": "j"}, "j"),
        ({"authorization": "Bearer "}, None),
        ({"authorization": "Bearerk"}, None),
        ({}, None),
    ],
)
def test_a_key_is_found_in_either_header(headers: dict[str, str], key: str | None) -> None:
    """As a bearer token, or in a header of its own."""
    assert presented(headers.get) == key


def test_only_the_keys_of_the_file_are_known() -> None:
    """Neither another one, nor a hash, nor the empty one."""
    keys = parse_keys(FILE)

    assert identify(keys, "two").name == "admin"
    for wrong in (None, "", "three", digest("one"), "one "):
        with pytest.raises(ServingError) as raised:
            identify(keys, wrong)
        assert raised.value.status is Status.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("key", "models", "may"),
    [
        ("one", ["mnist"], True),
        ("one", ["mnist", "half_plus_two"], True),
        ("one", ["mnist", "other"], False),
        ("one", ["MNIST"], False),
        ("one", [""], False),
        ("one", [], True),
        ("one", None, False),
        ("two", ["other"], True),
        ("two", None, True),
    ],
)
def test_a_key_is_for_its_models(key: str, models: Collection[str] | None, may: bool) -> None:
    """And "*" for all, and for what is about none."""
    found = identify(parse_keys(FILE), key)
    if may:
        check_models(found, models)
        return
    with pytest.raises(ServingError, match=re.escape("The API key reader is")) as raised:
        check_models(found, models)
    assert raised.value.status is Status.PERMISSION_DENIED
