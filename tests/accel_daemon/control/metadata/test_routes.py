"""The routes, as clients ask them; the role and the callers are stand-ins."""

from __future__ import annotations

import http.client
import json
import logging
import os
import socket
import subprocess
from collections.abc import Callable

import pytest
from aiohttp import web

from accel_daemon.control.metadata.options import MetadataOptions
from tests.accel_daemon.control.metadata.stand_ins import FACTS, FIRST, ROLE, TOKEN, Served

CREDENTIALS = f"/latest/meta-data/iam/security-credentials/{ROLE}"
TTL = {"X_aws_ec2_metadata_token_ttl_seconds": "60"}
Serve = Callable[..., Served]


def nobody(_: web.Request) -> int | None:
    """A system that does not tell whose a connection is."""
    return None


def another(_: web.Request) -> int | None:
    """Another user of this machine."""
    return os.getuid() + 1


def test_role_credentials(serve: Serve) -> None:
    """Listed by name, shown as text, and the same again."""
    served = serve()
    assert served.get("/latest/meta-data/iam/security-credentials/") == ROLE
    first = served.get(CREDENTIALS)
    assert json.loads(first)["AccessKeyId"] == served.issuer.issued[0].access_key_id
    assert served.get(f"/2021-07-15{CREDENTIALS.removeprefix('/latest')}/") == first
    assert served.fetch(CREDENTIALS).headers["Content-Type"].startswith("text/plain")


def test_profile(serve: Serve) -> None:
    """No secret: it issues nothing, and everyone may see it."""
    served = serve(peer_user=another)
    info = json.loads(served.get("/latest/meta-data/iam/info"))
    assert info["InstanceProfileArn"].endswith(f"/{ROLE}")
    assert not served.issuer.issued


@pytest.mark.parametrize("name", ["another-role", "", ROLE.upper(), f"{ROLE}/x"])
def test_another_role(serve: Serve, name: str) -> None:
    """Nothing is issued for a name that is not the role's."""
    served = serve()
    answer = served.fetch(f"/latest/meta-data/iam/security-credentials/{name}")
    assert (answer.status, answer.data) == (
        (200, ROLE.encode()) if not name else (404, answer.data)
    )
    assert not served.issuer.issued


@pytest.mark.parametrize("missing", ["by option", "in the identities"])
def test_no_role(serve: Serve, missing: str) -> None:
    """As on an instance without a profile; everything else is there."""
    served = serve(MetadataOptions(role="none")) if missing == "by option" else serve()
    served.issuer.facts = None
    identifier = served.service.container.credentials_id
    for path in ("/latest/meta-data/iam/", "/latest/meta-data/iam/info", CREDENTIALS):
        assert served.fetch(path).status == 404
    assert served.fetch(f"/v2/credentials/{identifier}").status in (400, 404)
    assert served.get("/latest/meta-data/instance-id").startswith("i-")


def test_role_that_comes_and_goes(serve: Serve) -> None:
    """What the identities say counts at each request."""
    served = serve()
    assert served.fetch(CREDENTIALS).status == 200
    served.issuer.facts = None
    assert served.fetch(CREDENTIALS).status == 404
    served.issuer.facts = FACTS
    assert served.fetch(CREDENTIALS).status == 200


def test_role_that_issues_nothing(serve: Serve) -> None:
    """As EC2 says so: status 200, a code and a message."""
    served = serve()
    served.issuer.refuses = True
    assert json.loads(served.get(CREDENTIALS))["Code"] == "Failed"
    identifier = served.service.container.credentials_id
    assert served.fetch(f"/v2/credentials/{identifier}").status == 404


@pytest.mark.parametrize("peer", [another, nobody])
@pytest.mark.parametrize("users", ["own", "all"])
def test_other_users(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    peer: Callable[[web.Request], int | None],
    users: str,
) -> None:
    """Refused with a reason, and logged once, unless the operator lets everyone."""
    served = serve(MetadataOptions(users=users), peer)
    identifier = served.service.container.credentials_id
    with caplog.at_level(logging.WARNING, "accel.metadata"):
        answers = [served.fetch(path) for path in (CREDENTIALS, f"/v2/credentials/{identifier}")]
    allowed = users == "all"
    assert [answer.status for answer in answers] == [200 if allowed else 403] * 2
    assert len(caplog.records) == (0 if allowed else 1)
    assert bool(served.issuer.issued) == allowed
    if not allowed:
        assert b"user who runs accel-daemon" in answers[0].data


def test_own_user(serve: Serve) -> None:
    """This process is found in the system's tables as the user that it is."""
    seen: list[int | None] = []
    from accel_daemon.control.metadata.service import user_of_request

    def spy(request: web.Request) -> int | None:
        seen.append(user_of_request(request))
        return seen[-1]

    assert serve(peer_user=spy).fetch(CREDENTIALS).status == 200
    assert seen == [os.getuid()]


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes somebody else")
def test_another_real_user(serve: Serve) -> None:
    """A process of another user is known as that, and reads everything but credentials."""
    served = serve()
    script = (
        "import sys, urllib.request, urllib.error\n"
        "for url in sys.argv[1:]:\n"
        "    try: print(urllib.request.urlopen(url).status)\n"
        "    except urllib.error.HTTPError as error: print(error.code)\n"
    )
    urls = [served.url + path for path in (CREDENTIALS, "/latest/meta-data/instance-id")]
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-I", "-c", script, *urls],
        user=65534, cwd="/", env={"PATH": os.defpath, "no_proxy": "*"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip("another user cannot run Python here")
    assert done.stdout.split() == ["403", "200"]


def test_version_1_switched_off(serve: Serve) -> None:
    """A request without a token gets 401, and one with a token is served; so are tokens."""
    served = serve(MetadataOptions(tokens="required"))
    for path in (CREDENTIALS, "/", "/latest/meta-data/", "/latest/dynamic/instance-identity/pkcs7"):
        assert served.fetch(path).status == 401
    token = served.fetch("/latest/api/token", "PUT", **TTL).data.decode()
    for path in (CREDENTIALS, "/", "/latest/meta-data/"):
        assert served.fetch(path, X_aws_ec2_metadata_token=token).status == 200
    assert served.fetch(f"/v4/{served.service.container.id}").status == 200


@pytest.mark.parametrize(
    "detour",
    [
        "/v4/..",
        "/v4/%2e%2e",
        "/v4/x/../..",
        "/v2/credentials/../..",
        "/v4/%2f..",
        "/latest/api/token/..",
    ],
)
def test_no_way_around_tokens(serve: Serve, detour: str) -> None:
    """A path that begins like one that needs no token is taken as it is written."""
    served = serve(MetadataOptions(tokens="required"))
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=5)
    connection.request("GET", detour + CREDENTIALS)
    assert connection.getresponse().status != 200
    assert not served.issuer.issued
    connection.close()


def test_token_that_ended(serve: Serve) -> None:
    """Like one that was never issued."""
    served = serve()
    now = 0.0
    served.service.tokens.clock = lambda: now
    token = served.fetch("/latest/api/token", "PUT", **TTL).data.decode()
    assert served.fetch(CREDENTIALS, X_aws_ec2_metadata_token=token).status == 200
    now = 60.0
    assert served.fetch(CREDENTIALS, X_aws_ec2_metadata_token=token).status == 401


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_other_methods(serve: Serve, method: str) -> None:
    """Nothing but GET and HEAD."""
    assert serve().fetch(CREDENTIALS, method).status == 405


@pytest.mark.parametrize("hops", [1, 7])
def test_hop_limit(serve: Serve, hops: int) -> None:
    """The connections that answer have it as their packets' time to live."""
    limits: list[int] = []

    def look(request: web.Request) -> int | None:
        connection = request.transport and request.transport.get_extra_info("socket")
        limits.append(connection.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))
        return os.getuid()

    assert serve(MetadataOptions(hop_limit=hops), look).fetch(CREDENTIALS).status == 200
    assert limits == [hops]


def test_identity(serve: Serve) -> None:
    """Plain texts; there is no RSA signature."""
    served, folder = serve(), "/latest/dynamic/instance-identity"
    assert json.loads(served.get(f"{folder}/document"))["region"] == "us-east-1"
    assert served.get(f"{folder}/pkcs7") != served.get(f"{folder}/signature")
    assert served.fetch(f"{folder}/rsa2048").status == 404


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_container_metadata(serve: Serve, version: str) -> None:
    """Found by the container's id, as JSON."""
    served = serve()
    base = f"/{version}/{served.service.container.id}"
    assert json.loads(served.get(base))["Type"] == "NORMAL"
    assert json.loads(served.get(f"{base}/task"))["LaunchType"] == "EC2"
    names = json.loads(served.get(f"{base}/associations/elastic-inference"))["Associations"]
    found = json.loads(served.get(f"{base}/associations/elastic-inference/{names[0]}"))
    assert found["elastic-inference-accelerator-id"] == FIRST
    for wrong in ("/v4/x", f"{base}/x", f"{base}/associations/other", f"{base}/task/x"):
        answer = served.fetch(wrong)
        assert answer.status == 400
        assert isinstance(json.loads(answer.data), str)


@pytest.mark.parametrize(
    ("peer", "header", "status"),
    [
        (None, None, 200),
        (None, TOKEN, 200),
        (None, "wrong", 403),
        (None, "", 403),
        (another, TOKEN, 200),
        (nobody, TOKEN, 200),
        (another, None, 403),
    ],
)
def test_container_credentials(
    serve: Serve, peer: Callable[[web.Request], int | None] | None, header: str | None, status: int
) -> None:
    """For the daemon's user, and for whoever shows the token; a wrong one is refused to anyone."""
    served = serve(peer_user=peer) if peer else serve()
    path = f"/v2/credentials/{served.service.container.credentials_id}"
    answer = served.fetch(path, **({} if header is None else {"Authorization": header}))
    assert answer.status == status
    assert bool(served.issuer.issued) == (status == 200)
    assert ("RoleArn" in json.loads(answer.data)) if status == 200 else True


def test_wrong_container_credentials(serve: Serve) -> None:
    """An id that is not the one says nothing else."""
    assert serve().fetch("/v2/credentials/x", Authorization=TOKEN).status == 400
