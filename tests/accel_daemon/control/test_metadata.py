"""The emulation of instance metadata."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from accel_daemon.control.metadata import MAX_TOKENS, Tokens, is_local_host

DATA = "/latest/meta-data"


def fetch(daemon: Any, path: str, method: str = "GET", **headers: str) -> urllib3.BaseHTTPResponse:
    """One request; `_` in a header's name stands for "-"."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        return pool.request(method, daemon.ready["metadata"] + path, headers=named)


def test_folder(daemon: Any) -> None:
    """What a client asks for first."""
    assert fetch(daemon, f"{DATA}/elastic-inference/").data == b"associations/"


def test_endpoint(daemon: Any) -> None:
    """Ours: who serves the accelerators, as plain text; the folder's listing does not name it."""
    answer = fetch(daemon, f"{DATA}/elastic-inference/endpoint")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.data.decode() == daemon.ready["control"]


def test_associations(daemon: Any) -> None:
    """Ids, one per line."""
    ids = [one["id"] for one in daemon.ready["accelerators"]]
    for path in ("associations", "associations/"):
        assert fetch(daemon, f"{DATA}/elastic-inference/{path}").data.decode() == "\n".join(ids)


def test_association(daemon: Any) -> None:
    """Exactly the document of EC2, on one line of plain text."""
    one = daemon.ready["accelerators"][1]
    answer = fetch(daemon, f"{DATA}/elastic-inference/associations/{one['id']}")
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"\n" not in answer.data
    assert json.loads(answer.data) == {
        "version_2018_04_12": {
            "elastic-inference-accelerator-id": one["id"],
            "elastic-inference-accelerator-type": "eia2.large",
        }
    }


@pytest.mark.parametrize("path", ["elastic-inference/associations/eia-0", "iam/", "nothing"])
def test_what_is_not_there(daemon: Any, path: str) -> None:
    """404, as the real one; credentials are not served."""
    assert fetch(daemon, f"{DATA}/{path}").status == 404


@pytest.mark.parametrize(
    ("path", "start"),
    [("placement/region", "us-east-1"), ("placement/availability-zone", "us-east-1a"),
     ("instance-id", "i-")],
)  # fmt: skip
def test_instance(daemon: Any, path: str, start: str) -> None:
    """Where and what the instance is."""
    assert fetch(daemon, f"{DATA}/{path}").data.decode().startswith(start)


def test_token(daemon: Any) -> None:
    """Version 2: a token is issued, echoes its life, and opens the data."""
    issued = fetch(daemon, "/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="21600")
    assert issued.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    token = issued.data.decode()
    assert fetch(daemon, f"{DATA}/instance-id", X_aws_ec2_metadata_token=token).status == 200


@pytest.mark.parametrize("ttl", [None, "", "0", "21601", "-1", "1.5", "x", "٣", "9" * 5000])
def test_token_with_a_bad_life(daemon: Any, ttl: str | None) -> None:
    """Version 2 wants a life of 1 to 21600 seconds."""
    headers = {} if ttl is None else {"X_aws_ec2_metadata_token_ttl_seconds": ttl}
    if ttl == "٣":
        headers = {"X_aws_ec2_metadata_token_ttl_seconds": "\xb3"}
    assert fetch(daemon, "/latest/api/token", "PUT", **headers).status == 400


def test_wrong_token(daemon: Any) -> None:
    """A token that is given must be good."""
    assert fetch(daemon, f"{DATA}/instance-id", X_aws_ec2_metadata_token="x").status == 401


def test_through_a_proxy(daemon: Any) -> None:
    """What was forwarded is refused, tokens included."""
    for method, path in (("GET", f"{DATA}/instance-id"), ("PUT", "/latest/api/token")):
        assert fetch(daemon, path, method, X_Forwarded_For="10.0.0.1").status == 403


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:80", True),
        ("LOCALHOST:1", True),
        ("169.254.169.254", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost:x", False),
        ("localhost:80:80", False),
        ("", False),
    ],
)
def test_host_header(daemon: Any, host: str, is_local: bool) -> None:
    """A web page cannot reach it through a name of its own."""
    assert is_local_host(host) == is_local
    if host:
        status = 200 if is_local else 403
        assert fetch(daemon, f"{DATA}/instance-id", Host=host).status == status


def test_listens_on_loopback_only(daemon: Any) -> None:
    """The address in the ready file."""
    assert urlsplit(daemon.ready["metadata"]).hostname == "127.0.0.1"


def test_tokens_end_and_are_bounded() -> None:
    """A token ends with its life, and many tokens do not fill the memory."""
    now = 0.0
    tokens = Tokens(clock=lambda: now)
    first = tokens.issue(10)
    assert tokens.is_good(first)
    now = 10.0
    assert not tokens.is_good(first)
    now = 0.0
    for _ in range(MAX_TOKENS):
        tokens.issue(10)
    assert not tokens.is_good(first)
