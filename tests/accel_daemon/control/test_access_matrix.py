"""Every HTTP route against every way of not being let in: refused, with one audit line each.

The routes are those that the application serves. What cannot be tried on a route stands in a table
with the reason why; a route that is in no table fails here.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import pytest
import urllib3
from aiohttp import web

from accel_daemon.control.gate import PERMISSIONS, PUBLIC
from accel_daemon.control.server import build_app
from accel_daemon.control.service import ControlService
from accel_daemon.iam.principals import Identities
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign

Route = tuple[str, str]
ARN = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator/"
TAGS_ROUTE, FAULT_ROUTE = "/tags/{resourceArn}", "/faults/{faultId}"

# They tell what every client must know before it can have credentials, and whether to come at all.
PUBLIC_ROUTES = {("GET", "/ca.pem"), ("GET", "/healthz")}
NAMES_NO_ACCELERATOR = "its resource is the daemon: there is no foreign accelerator to name"
ONLY_READS = "it changes nothing: whoever could replay it learns nothing that the first one did not"

# How each protected route is called, about the accelerator that {arn} and {id} stand for.
CALLS: dict[Route, tuple[str, Any]] = {
    ("GET", "/metrics"): ("/metrics", None),
    ("GET", "/status"): ("/status", None),
    ("POST", "/"): ("/", b"Action=GetCallerIdentity&Version=2011-06-15"),
    ("POST", "/connect"): ("/connect", {"accelerator": "{id}"}),
    ("GET", "/describe-accelerator-types"): ("/describe-accelerator-types", None),
    ("POST", "/describe-accelerator-offerings"): (
        "/describe-accelerator-offerings",
        {"locationType": "region"},
    ),
    ("POST", "/describe-accelerators"): ("/describe-accelerators", {}),
    ("GET", TAGS_ROUTE): ("/tags/{arn}", None),
    ("POST", TAGS_ROUTE): ("/tags/{arn}", {"tags": {"matrix": "1"}}),
    ("DELETE", TAGS_ROUTE): ("/tags/{arn}?tagKeys=matrix", None),
    ("GET", "/faults"): ("/faults", None),
    ("POST", "/faults"): ("/faults", {"kind": "drop", "probability": 0, "seconds": 1}),
    ("DELETE", "/faults"): ("/faults", None),
    ("DELETE", FAULT_ROUTE): ("/faults/0", None),
}
NO_FOREIGN_ACCELERATOR = {
    ("POST", "/"): NAMES_NO_ACCELERATOR,
    ("GET", "/metrics"): NAMES_NO_ACCELERATOR,
    ("GET", "/status"): NAMES_NO_ACCELERATOR,
    ("GET", "/describe-accelerator-types"): NAMES_NO_ACCELERATOR,
    ("POST", "/describe-accelerator-offerings"): NAMES_NO_ACCELERATOR,
    ("POST", "/describe-accelerators"): NAMES_NO_ACCELERATOR,
    ("GET", "/faults"): NAMES_NO_ACCELERATOR,
    ("POST", "/faults"): NAMES_NO_ACCELERATOR,
    ("DELETE", "/faults"): NAMES_NO_ACCELERATOR,
    ("DELETE", FAULT_ROUTE): NAMES_NO_ACCELERATOR,
}
NO_REPLAY = {
    ("GET", "/metrics"): ONLY_READS,
    ("GET", "/status"): ONLY_READS,
    ("GET", "/describe-accelerator-types"): ONLY_READS,
    ("POST", "/describe-accelerator-offerings"): ONLY_READS,
    ("POST", "/describe-accelerators"): ONLY_READS,
    ("GET", TAGS_ROUTE): ONLY_READS,
    ("GET", "/faults"): ONLY_READS,
}
# How long a repetition is taken for an SDK's own, and a little more.
REPLAY_AFTER = {
    ("POST", "/"): 2.1,
    ("POST", "/connect"): 0.0,
    ("POST", TAGS_ROUTE): 2.1,
    ("DELETE", TAGS_ROUTE): 2.1,
    ("POST", "/faults"): 0.0,
    ("DELETE", "/faults"): 2.1,
    ("DELETE", FAULT_ROUTE): 2.1,
}
# The Security Token Service has codes of its own, in XML.
REASONS_OF_STS = {
    "MissingAuthenticationToken": "MISSING_CREDENTIALS",
    "InvalidClientTokenId": "SIGNATURE_MISMATCH",
    "RequestExpired": "CLOCK_SKEW",
    "SignatureDoesNotMatch": "SIGNATURE_REPLAYED",
}


def served_routes() -> set[Route]:
    """What the application serves."""
    service = ControlService(
        fleet=Fleet(()),
        identities=Identities,
        tickets=TicketSigner.generate(),
        region="us-east-1",
        is_ready=lambda: True,
    )
    routes = build_app(service).router.routes()
    return {(route.method, cast(web.Resource, route.resource).canonical) for route in routes}


PROTECTED = sorted(served_routes() - PUBLIC_ROUTES)


def test_the_public_routes_are_exactly_these() -> None:
    """Whoever opens another one must say so here."""
    assert {route for route, asked in PERMISSIONS.items() if asked is PUBLIC} == PUBLIC_ROUTES


def test_every_combination_is_tried_or_has_a_reason() -> None:
    """No route is left out of a column by accident."""
    assert set(CALLS) == set(PROTECTED)
    assert set(NO_REPLAY) | set(REPLAY_AFTER) == set(PROTECTED)
    assert not set(NO_REPLAY) & set(REPLAY_AFTER)
    repeatable = {route for route in PROTECTED if cast(Any, PERMISSIONS[route]).repeatable is None}
    assert set(NO_REPLAY) == repeatable


class Matrix:
    """A daemon with stand-ins for accelerators, and the keys of the columns."""

    def __init__(self, daemon: Any, tools: Any) -> None:
        self.daemon = daemon
        self.first, self.second = (one["id"] for one in daemon.ready["accelerators"])
        every = {"Effect": "Allow", "Action": "*"}
        self.good = tools.add_user(daemon.home, "good", {**every, "Resource": "*"})
        only_second = {**every, "Resource": ARN + self.second}
        self.narrow = tools.add_user(daemon.home, "narrow", only_second)
        self.revoked = tools.add_user(daemon.home, "revoked", {**every, "Resource": "*"})
        assert self.send(("GET", "/status"), self.revoked)[0] == 200
        tools.run_cli(daemon.home, "key", "revoke", self.revoked.access_key_id)

    def sender(self, route: Route, key: AccessKey | None, accelerator: str, now: datetime) -> Any:
        """Sends the very same request each time; answers status, reason and request id."""
        url = self.daemon.ready["control"]
        target, value = CALLS[route]
        target = target.replace("{arn}", quote(ARN + accelerator, safe=""))
        body = value if isinstance(value, bytes) else b""
        if value is not None and not isinstance(value, bytes):
            body = json.dumps(value).replace("{id}", accelerator).encode()
        path, _, query = target.partition("?")
        headers = {"Host": urlsplit(url).netloc, "X-Accel-Nonce": secrets.token_hex(8)}
        if key is not None:
            request = HttpRequest(route[0], path, query, tuple(headers.items()), body)
            service = cast(Any, PERMISSIONS[route]).service
            names = {"region": "us-east-1", "service": service}
            headers |= sign(request, key, now=now, **names)

        def send() -> tuple[int, str, str]:
            with urllib3.PoolManager(
                ssl_context=self.daemon.tls(), retries=False, timeout=10
            ) as pool:
                answer = pool.request(route[0], url + target, body=body, headers=headers)
            is_json = "json" in answer.headers["Content-Type"]
            code = answer.headers.get("x-amzn-ErrorType", "")
            reason = answer.json().get("reason", "") if is_json else REASONS_OF_STS.get(code, "")
            return answer.status, str(reason), answer.headers["x-amzn-RequestId"]

        return send

    def send(
        self,
        route: Route,
        key: AccessKey | None,
        accelerator: str = "",
        late: timedelta = timedelta(),
    ) -> tuple[int, str, str]:
        """Send one request about an accelerator, the first one by default."""
        now = datetime.now(UTC) - late
        answer: tuple[int, str, str] = self.sender(route, key, accelerator or self.first, now)()
        return answer

    def records(self) -> list[dict[str, Any]]:
        """All lines of the audit log."""
        lines = (self.daemon.home / "daemon" / "audit.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def record(self, request_id: str) -> dict[str, Any]:
        """The one line of a request."""
        (record,) = [one for one in self.records() if one["request_id"] == request_id]
        return record

    def refused(self, answer: tuple[int, str, str], reason: str, who: str, route: Route) -> None:
        """Check that this answer is this refusal, and its line in the audit log."""
        assert answer[1] == reason
        assert answer[0] >= 400
        record = self.record(answer[2])
        assert record["allowed"] is False
        assert record["reason"].startswith(reason)
        assert record["who"] == who
        assert record["action"] == cast(Any, PERMISSIONS[route]).action


@pytest.fixture(scope="module")
def matrix(
    tmp_path_factory: pytest.TempPathFactory, tools: Any, interpreter: Path
) -> Iterator[Matrix]:
    """A daemon of this module's own."""
    options = ["--allow-faults", *[f"--accelerator=host,python={interpreter}"] * 2]
    with tools.running_daemon(tmp_path_factory.mktemp("home"), *options) as running:
        yield Matrix(running, tools)


@pytest.mark.parametrize("route", PROTECTED)
def test_good_calls_are_let_in(matrix: Matrix, route: Route) -> None:
    """What the columns below refuse is refused for their reason; allowed is one line as well."""
    status, _, request_id = matrix.send(route, matrix.good)
    record = matrix.record(request_id)
    assert status == 200
    assert record["allowed"] is True
    assert record["who"] == "arn:aws:iam::000000000000:user/good"


@pytest.mark.parametrize("route", PROTECTED)
def test_no_credentials(matrix: Matrix, route: Route) -> None:
    """Nobody is named."""
    matrix.refused(matrix.send(route, None), "MISSING_CREDENTIALS", "", route)


@pytest.mark.parametrize("route", PROTECTED)
def test_wrong_secret(matrix: Matrix, route: Route) -> None:
    """The key is named as a key, never as a principal."""
    key = AccessKey(matrix.good.access_key_id, "0" * 40)
    matrix.refused(matrix.send(route, key), "SIGNATURE_MISMATCH", key.access_key_id, route)


@pytest.mark.parametrize("route", PROTECTED)
def test_expired(matrix: Matrix, route: Route) -> None:
    """A signature of twenty minutes ago."""
    answer = matrix.send(route, matrix.good, late=timedelta(minutes=20))
    matrix.refused(answer, "CLOCK_SKEW", matrix.good.access_key_id, route)


@pytest.mark.parametrize("route", sorted(set(PROTECTED) - set(NO_FOREIGN_ACCELERATOR)))
def test_foreign_accelerator(matrix: Matrix, route: Route) -> None:
    """Whoever may use one accelerator may not use another one."""
    assert matrix.send(route, matrix.narrow, matrix.second)[1] != "ACCESS_DENIED"
    answer = matrix.send(route, matrix.narrow, matrix.first)
    matrix.refused(answer, "ACCESS_DENIED", "arn:aws:iam::000000000000:user/narrow", route)
    assert matrix.record(answer[2])["accelerator"] == matrix.first


@pytest.fixture(scope="module")
def repeated(matrix: Matrix) -> dict[Route, tuple[int, str, str]]:
    """The second answers to requests that were let in, after as long as each takes at least."""
    senders, answers = {}, {}
    for route, seconds in REPLAY_AFTER.items():
        senders[route] = matrix.sender(route, matrix.good, matrix.first, datetime.now(UTC))
        assert senders[route]()[0] == 200
        if not seconds:
            answers[route] = senders[route]()
    time.sleep(max(REPLAY_AFTER.values()))
    return {route: answers.get(route) or send() for route, send in senders.items()}


@pytest.mark.parametrize("route", sorted(REPLAY_AFTER))
def test_replayed(
    matrix: Matrix, repeated: dict[Route, tuple[int, str, str]], route: Route
) -> None:
    """The very same signed request, sent once more."""
    matrix.refused(repeated[route], "SIGNATURE_REPLAYED", matrix.good.access_key_id, route)


@pytest.mark.parametrize("route", PROTECTED)
def test_revoked(matrix: Matrix, route: Route) -> None:
    """A key that was good before."""
    answer = matrix.send(route, matrix.revoked)
    matrix.refused(answer, "SIGNATURE_MISMATCH", matrix.revoked.access_key_id, route)


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("GET", "/nothing", b"", "UNKNOWN_METHOD"),
        ("PUT", "/status", b"", "UNKNOWN_METHOD"),
        ("POST", "/connect", b"{", "INVALID_CALL"),
        ("POST", "/connect", b"x" * 70_000, "LIMIT_EXCEEDED"),
        ("POST", "/describe-accelerators", b'{"maxResults": "many"}', "INVALID_CALL"),
        ("GET", "/tags/nothing", b"", "INVALID_CALL"),
    ],
)
def test_what_is_wrong_in_itself_has_one_line(
    matrix: Matrix, method: str, path: str, body: bytes, reason: str
) -> None:
    """Unknown routes and malformed requests."""
    answer = matrix.daemon.call(method, path, body, key=matrix.good)
    assert answer.json()["reason"] == reason
    record = matrix.record(answer.headers["x-amzn-RequestId"])
    assert record["allowed"] is False
    assert record["reason"] == reason


@pytest.mark.parametrize("authorization", ["", "nonsense", "AWS4-HMAC-SHA256 Credential=AKIA"])
def test_credentials_that_are_none_have_one_line(matrix: Matrix, authorization: str) -> None:
    """Whatever a stranger writes there is not in the log."""
    url = matrix.daemon.ready["control"] + "/status"
    headers = {"Authorization": authorization}
    with urllib3.PoolManager(ssl_context=matrix.daemon.tls(), retries=False, timeout=10) as pool:
        answer = pool.request("GET", url, headers=headers)
    record = matrix.record(answer.headers["x-amzn-RequestId"])
    assert (record["who"], record["allowed"]) == ("", False)


@pytest.mark.parametrize("selector", [None, 1])
def test_connect_is_one_line_however_many_candidates(matrix: Matrix, selector: Any) -> None:
    """It names the accelerator that was chosen."""
    body = {"accelerator": selector, "accelerators": [1, 0]}
    answer = matrix.daemon.call("POST", "/connect", body, key=matrix.narrow)
    record = matrix.record(answer.headers["x-amzn-RequestId"])
    assert record["allowed"] is (answer.status == 200)
    if answer.status == 200:
        assert record["accelerator"] == matrix.second
        assert record["reason"] == "A ticket was issued."


def test_public_routes_decide_nothing(matrix: Matrix) -> None:
    """They are answered to anyone, and leave no line."""
    before = len(matrix.records())
    for method, path in sorted(PUBLIC_ROUTES):
        assert matrix.daemon.call(method, path).status == 200
    assert len(matrix.records()) == before


def test_no_request_had_two_lines(matrix: Matrix) -> None:
    """After all of the above."""
    counts = Counter(one["request_id"] for one in matrix.records() if one["request_id"])
    assert counts
    assert set(counts.values()) == {1}
