"""The one gate: every route against every way of not being allowed."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from accel_daemon.control.gate import PERMISSIONS, PUBLIC
from accel_daemon.control.server import build_app
from accel_daemon.control.service import ControlService
from accel_daemon.iam.authentication import SERVICE
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.errors import row_of
from accel_protocol.sigv4 import AccessKey

# Those of the elastic-inference API and our own; test_security_tokens has the other one.
PROTECTED = sorted(
    route
    for route, permission in PERMISSIONS.items()
    if permission is not PUBLIC and permission.service == SERVICE
)
MINUTES = timedelta(minutes=1)
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/describe-accelerator-offerings"): {"locationType": "region"},
    ("POST", "/tags/{resourceArn}"): {"tags": {"gate": "open"}},
    ("POST", "/faults"): {"kind": "drop", "probability": 0, "seconds": 1},
}
QUERIES = {("DELETE", "/tags/{resourceArn}"): "?tagKeys=gate"}


def good_call(daemon: Any, route: tuple[str, str]) -> tuple[str, str, Any]:
    """Method, path and body of a call of this route that nothing is wrong with."""
    method, path = route
    accelerator = daemon.ready["accelerators"][0]["id"]
    kind = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator"
    arn = f"{kind}/{accelerator}"
    path = path.replace("{resourceArn}", quote(arn, safe="")).replace("{faultId}", "0")
    return method, path + QUERIES.get(route, ""), BODIES.get(route)


def refusal(daemon: Any, route: tuple[str, str], **options: Any) -> tuple[str, str]:
    """Reason and AWS name of a refusal, whose form is checked."""
    answer = daemon.call(*good_call(daemon, route), **options)
    body = answer.json()
    assert set(body) == {"message", "reason", "remedy", "requestId", "fields"}
    assert answer.status == row_of(body["reason"]).http
    assert answer.headers["x-amzn-RequestId"] == body["requestId"]
    return body["reason"], answer.headers["x-amzn-ErrorType"]


@pytest.mark.parametrize("route", PROTECTED)
def test_no_credentials(daemon: Any, route: tuple[str, str]) -> None:
    """An unsigned request."""
    expected = ("MISSING_CREDENTIALS", "MissingAuthenticationTokenException")
    assert refusal(daemon, route) == expected


@pytest.mark.parametrize("route", PROTECTED)
def test_wrong_secret(daemon: Any, route: tuple[str, str]) -> None:
    """A known key id with another secret."""
    key = AccessKey(daemon.keys["ann"].access_key_id, "0" * 40)
    expected = ("SIGNATURE_MISMATCH", "UnrecognizedClientException")
    assert refusal(daemon, route, key=key) == expected


@pytest.mark.parametrize("route", PROTECTED)
def test_unknown_key(daemon: Any, route: tuple[str, str]) -> None:
    """A key id that is not there looks the same as a wrong secret."""
    key = AccessKey("AKIA" + "Z" * 16, daemon.keys["ann"].secret_access_key)
    expected = ("SIGNATURE_MISMATCH", "UnrecognizedClientException")
    assert refusal(daemon, route, key=key) == expected


@pytest.mark.parametrize("offset", [-20 * MINUTES, 20 * MINUTES])
@pytest.mark.parametrize("route", PROTECTED)
def test_skewed_clock(daemon: Any, route: tuple[str, str], offset: timedelta) -> None:
    """A client whose clock is 20 minutes off is told so."""
    expected = ("CLOCK_SKEW", "RequestTimeTooSkewed")
    now = datetime.now(UTC) + offset
    assert refusal(daemon, route, key=daemon.keys["ann"], now=now) == expected


@pytest.mark.parametrize("route", PROTECTED)
def test_denied_by_policy(daemon: Any, route: tuple[str, str]) -> None:
    """A user who is known and may not."""
    expected = ("ACCESS_DENIED", "AccessDeniedException")
    assert refusal(daemon, route, key=daemon.keys["denied"]) == expected


@pytest.mark.parametrize("route", PROTECTED)
def test_allowed(daemon: Any, route: tuple[str, str]) -> None:
    """The same calls do get through for who may: the refusals above are about the caller."""
    answer = daemon.call(*good_call(daemon, route), key=daemon.keys["administrator"])
    assert answer.status == 200


@pytest.mark.parametrize(
    "route", [("GET", "/"), ("GET", "/connect"), ("POST", "/status"), ("GET", "/status/"),
              ("GET", "//status"), ("PUT", "/healthz"), ("OPTIONS", "/connect")]
)  # fmt: skip
def test_what_is_not_there(daemon: Any, route: tuple[str, str]) -> None:
    """Another path or method is not there, signed or not."""
    for key in (None, daemon.keys["ann"]):
        assert refusal(daemon, route, key=key) == ("UNKNOWN_METHOD", "UnknownOperationException")


def test_what_was_signed_is_what_counts(daemon: Any) -> None:
    """A query that is signed is accepted, in the very bytes that were sent."""
    path = "/status?b=%2F&a=~x&a=%20y"
    assert daemon.call("GET", path, key=daemon.keys["ann"]).status == 200


def test_refusals_and_grants_are_audited(daemon: Any) -> None:
    """With the request id that the caller got."""
    denied = daemon.call("GET", "/status", key=daemon.keys["denied"]).json()["requestId"]
    unsigned = daemon.call("POST", "/connect", {}).json()["requestId"]
    lines = (daemon.home / "daemon" / "audit.log").read_text().splitlines()
    records = {record["request_id"]: record for record in map(json.loads, lines)}
    assert records[denied]["who"] == "arn:aws:iam::000000000000:user/denied"
    assert records[denied]["action"] == "elastic-inference:GetStatus"
    assert records[denied]["allowed"] is False
    assert records[unsigned]["reason"] == "MISSING_CREDENTIALS"
    assert records[unsigned]["allowed"] is False


def empty_service(is_ready: bool = False) -> ControlService:
    """A service without accelerators and users."""
    return ControlService(
        fleet=Fleet(()),
        identities=Identities,
        tickets=TicketSigner.generate(),
        region="us-east-1",
        is_ready=lambda: is_ready,
    )


def test_every_route_has_a_permission_and_every_permission_a_route() -> None:
    """Who adds a route must say who may call it."""
    routes = build_app(empty_service()).router.routes()
    served = {(route.method, cast(web.Resource, route.resource).canonical) for route in routes}
    assert served == set(PERMISSIONS)


def call_app(app: web.Application, method: str, path: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of one call, over plain HTTP."""

    async def call() -> tuple[int, dict[str, Any]]:
        async with TestClient(TestServer(app)) as client:
            answer = await client.request(method, path)
            return answer.status, await answer.json()

    return asyncio.run(call())


def test_a_route_without_permission_is_refused() -> None:
    """Also to whoever would be allowed everything."""

    async def forgotten(request: web.Request) -> web.Response:
        return web.json_response({"secret": "of the daemon"})

    app = build_app(empty_service())
    app.router.add_get("/forgotten", forgotten)
    status, body = call_app(app, "GET", "/forgotten")
    assert (status, body["reason"]) == (403, "ACCESS_DENIED")
    assert "secret" not in body


def test_a_defect_shows_nothing_of_itself(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log under the request id, and only there."""

    async def broken(request: web.Request) -> web.Response:
        raise ZeroDivisionError("/very/private/path")

    app = build_app(empty_service())
    app.router.add_get("/broken", broken)
    monkeypatch.setattr(
        "accel_daemon.control.gate.PERMISSIONS", {**PERMISSIONS, ("GET", "/broken"): PUBLIC}
    )
    status, body = call_app(app, "GET", "/broken")
    assert (status, body["reason"]) == (500, "INTERNAL")
    assert "private" not in json.dumps(body)
    assert body["requestId"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
def test_health(is_ready: bool, status: int) -> None:
    """Public, and 503 until the daemon is ready."""
    assert call_app(build_app(empty_service(is_ready)), "GET", "/healthz")[0] == status
