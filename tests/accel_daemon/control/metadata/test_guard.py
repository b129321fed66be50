"""What is refused before anything is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.guard import HOSTS, has_token, is_for_us, is_local_host
from accel_daemon.control.metadata.tokens import Tokens


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:80", True),
        ("LOCALHOST:1", True),
        ("169.254.169.254", True),
        ("169.254.170.2", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:x", False),
        ("localhost:80:80", False),
        ("", False),
    ],
)
def test_host(host: str, is_local: bool) -> None:
    """A web page cannot reach it through a name of its own."""
    assert is_local_host(host) == is_local


@given(st.text())
def test_any_host(host: str) -> None:
    """Only the known names pass, whatever follows them."""
    assert not is_local_host(host) or host.lower().split(":")[0] in HOSTS


@pytest.mark.parametrize(
    ("hosts", "is_forwarded", "passes"),
    [(["localhost"], False, True), (["localhost"], True, False), ([], False, False),
     (["localhost", "localhost"], False, False)],
)  # fmt: skip
def test_requests_for_us(hosts: list[str], is_forwarded: bool, passes: bool) -> None:
    """One Host, and no proxy between."""
    assert is_for_us(hosts, is_forwarded) == passes


@pytest.mark.parametrize(
    ("path", "shown", "rule", "passes"),
    [
        ("/latest/meta-data/", None, "optional", True),
        ("/latest/meta-data/", None, "required", False),
        ("/latest/meta-data/", "good", "required", True),
        ("/latest/meta-data/", "bad", "required", False),
        ("/latest/meta-data/", "bad", "optional", False),
        ("/latest/meta-data/", "", "optional", False),
        ("/latest/api/token", None, "required", True),
        ("/", None, "required", False),
        ("/v4/x", None, "required", True),
        ("/v2/credentials/x", None, "required", True),
    ],
)
def test_tokens(path: str, shown: str | None, rule: str, passes: bool) -> None:
    """Version 1 can be switched off; a token that is shown must be good; ECS knows none."""
    tokens = Tokens()
    token = tokens.issue(60) if shown == "good" else shown
    assert has_token(path, token, tokens, rule) == passes
