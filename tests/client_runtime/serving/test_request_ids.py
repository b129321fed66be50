"""Ids of requests."""

from __future__ import annotations

import re

import pytest

from client_runtime.serving.request_ids import request_id


@pytest.mark.parametrize("given_id", ["a-1", "ä", "a b", "a\n", "x" * 129, ""])
def test_a_request_id_is_safe_in_a_log(given_id: str) -> None:
    """The client's where it is harmless, else a new one."""
    found = request_id(given_id)

    assert re.fullmatch(r"[\w-]{1,128}", found, re.ASCII)
    assert (found == given_id) is (given_id == "a-1")
