"""The emulation of instance metadata, as a running daemon serves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

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


@pytest.mark.parametrize("path", ["elastic-inference/associations/eia-0", "nothing"])
def test_what_is_not_there(daemon: Any, path: str) -> None:
    """404, as the real one."""
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


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example"])
def test_host_header(daemon: Any, host: str) -> None:
    """A web page cannot reach it through a name of its own."""
    assert fetch(daemon, f"{DATA}/instance-id", Host=host).status == 403


def test_listens_on_loopback_only(daemon: Any) -> None:
    """The address in the ready file."""
    assert urlsplit(daemon.ready["metadata"]).hostname == "127.0.0.1"


def test_role_credentials(daemon: Any) -> None:
    """This process is of the daemon's user: it gets them."""
    role = fetch(daemon, f"{DATA}/iam/security-credentials/").data.decode()
    assert role == "accel-instance"
    found = json.loads(fetch(daemon, f"{DATA}/iam/security-credentials/{role}").data)
    assert found["Code"] == "Success"
    assert found["AccessKeyId"].startswith("ASIA")


def test_what_a_container_is_told(daemon: Any) -> None:
    """The ready file has the addresses, and the token's file is private."""
    with urllib3.PoolManager(retries=False, timeout=5) as pool:
        task = pool.request("GET", daemon.ready["container_metadata"] + "/task")
        assert json.loads(task.data)["Cluster"] == "accel"
        found = pool.request("GET", daemon.ready["container_credentials"])
        assert json.loads(found.data)["RoleArn"].endswith(":role/accel-instance")
    assert Path(daemon.ready["container_token_file"]).stat().st_mode & 0o777 == 0o600


def test_options(tmp_path: Path, tools: Any, interpreter: Path) -> None:
    """What the operator chose holds: no credentials, no version 1."""
    options = ["--accelerator", f"host,python={interpreter}", "--metadata-tokens", "required"]
    with tools.running_daemon(tmp_path / "home", *options, "--metadata-role", "none") as running:
        assert fetch(running, f"{DATA}/instance-id").status == 401
        ttl = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
        token = fetch(running, "/latest/api/token", "PUT", **ttl).data.decode()
        shown = {"X_aws_ec2_metadata_token": token}
        assert fetch(running, f"{DATA}/instance-id", **shown).status == 200
        assert fetch(running, f"{DATA}/iam/", **shown).status == 404
        assert "container_credentials" not in running.ready


@pytest.mark.parametrize(
    "options",
    [("--metadata-hop-limit", "0"), ("--metadata-hop-limit", "65"),
     ("--metadata-users", "some"), ("--metadata-tokens", "no")],
)  # fmt: skip
def test_wrong_options(tmp_path: Path, tools: Any, options: tuple[str, str]) -> None:
    """Refused before anything starts."""
    done = tools.run_cli(tmp_path / "home", "up", *options)
    assert done.returncode == 2
    assert options[0] in done.stderr
