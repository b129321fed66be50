"""Every gRPC method against every way of not being let in: refused, with one audit line each.

The methods are those that a running accelerator tells of by reflection. The daemon is a real one
with two accelerators, whose engines nobody comes to; only tickets that are too old come from an
accelerator whose supervisor is the test, since a daemon's live for fifteen minutes.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from accel_daemon.accelerator.gate import PERMISSIONS, PUBLIC
from accel_daemon.iam.principals import Principal
from accel_daemon.iam.tickets import TicketSigner
from client_runtime.transport.channel import metadata, typed
from client_runtime.transport.grants import Grant
from tests.conftest import eventually, patience, start_daemon
from tests.integration.conftest import CLOCK, HASTY, KEY_ID, LoneAccelerator
from tests.integration.realm import Realm
from tests.integration.test_server_surface import served_methods

# Load balancers have no tickets, and the answer holds nothing but "serving": there is no way of
# not being let in, and no decision to audit.
PUBLIC_METHODS = {
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
}


def test_the_public_methods_are_exactly_these() -> None:
    """Whoever opens another one must say so here."""
    assert {path for path, action in PERMISSIONS.items() if action is PUBLIC} == PUBLIC_METHODS


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, engineless: tuple[str, str]) -> Iterator[Realm]:
    """A daemon of this module's own; `good` has both accelerators at first."""
    os.environ.pop("EI_VISIBLE_DEVICES", None)
    home = tmp_path_factory.mktemp("realm")
    running = start_daemon(home, "--port", "0", *engineless, *engineless, program=HASTY)
    made = Realm(running)
    made.add_users()
    yield made
    assert running.stop() == 0


@pytest.fixture(scope="module")
def early(realm: Realm) -> Grant:
    """A ticket of the second accelerator's first tenancy, used once."""
    grant = realm.connect(realm.good, 1)
    assert refusal_of(realm, grant, "/accel.v1.Accelerator/List")[0] == ""
    return grant


@pytest.fixture(scope="module")
def grant(realm: Realm) -> Grant:
    """A good ticket for the first accelerator."""
    return realm.connect(realm.good)


@pytest.fixture(scope="module")
def methods(realm: Realm, grant: Grant) -> list[str]:
    """All that the first accelerator serves and that asks for a ticket."""
    with realm.channel(grant) as channel:
        served = served_methods(channel, metadata(grant))
    assert served <= set(PERMISSIONS)
    assert {"/accel.v1.Accelerator/Run", "/accel.v1.Accelerator/Load"} < served
    return sorted(served - PUBLIC_METHODS)


def refusal_of(
    realm: Realm, at: Grant, path: str, ticket: str | None = None, credentials: Any = None
) -> tuple[str, str]:
    """How a call is refused, "" for not at all, and its request id."""
    shown = metadata(at) if ticket is None else (("authorization", f"Bearer {ticket}"),)
    with (credentials or realm).channel(at) as channel:
        stream = channel.stream_stream(path)(
            iter([b""]), metadata=shown if ticket != "" else (), timeout=patience(20)
        )
        try:
            list(stream)
        except grpc.RpcError as error:
            return typed(error).reason, typed(error).request_id
        return "", str(dict(stream.initial_metadata())["accel-request-id"])


def check(realm: Realm, refusals: dict[str, tuple[str, str]], reason: str, who: str) -> None:
    """All were refused for this reason, and each has one line that names this caller."""
    assert {path: refusal[0] for path, refusal in refusals.items()} == dict.fromkeys(
        refusals, reason
    )
    lines = realm.lines_of([refusal[1] for refusal in refusals.values()])
    assert len(lines) == len(refusals)
    assert {line["action"] for line in lines} == {PERMISSIONS[path] for path in refusals}
    for line in lines:
        assert (line["allowed"], line["who"]) == (False, who)
        assert line["reason"].startswith(reason)


def test_no_credentials(realm: Realm, grant: Grant, methods: list[str]) -> None:
    """Nobody is named."""
    refusals = {path: refusal_of(realm, grant, path, ticket="") for path in methods}
    check(realm, refusals, "MISSING_TICKET", "")


def test_wrong_secret(realm: Realm, grant: Grant, methods: list[str]) -> None:
    """A ticket that this daemon has not signed: the key it claims is named, never a principal."""
    forged = TicketSigner.generate().issue(
        Principal("good", "000000000000"),
        grant.accelerator_id,
        realm.good.access_key_id,
        1,
        time.time(),
    )
    refusals = {path: refusal_of(realm, grant, path, ticket=forged) for path in methods}
    check(realm, refusals, "INVALID_TICKET", realm.good.access_key_id)


def test_foreign_accelerator(realm: Realm, grant: Grant, early: Grant, methods: list[str]) -> None:
    """A good ticket of the accelerator next to it."""
    refusals = {path: refusal_of(realm, grant, path, ticket=early.ticket) for path in methods}
    check(realm, refusals, "INVALID_TICKET", realm.good.access_key_id)


def test_replayed(realm: Realm, early: Grant, methods: list[str]) -> None:
    """A ticket of an earlier tenancy, shown again after another principal came."""
    later = realm.connect(realm.other, 1)
    assert later.accelerator_id == early.accelerator_id
    refusals = {path: refusal_of(realm, later, path, ticket=early.ticket) for path in methods}
    check(realm, refusals, "TICKET_EXPIRED", realm.good.access_key_id)


def test_revoked(realm: Realm, grant: Grant, methods: list[str]) -> None:
    """A ticket of a key that is gone; the user's other key works on."""
    second = realm.connect(realm.revoked)
    assert refusal_of(realm, second, "/accel.v1.Accelerator/List")[0] == ""
    realm.change(lambda now: now.without_key(realm.revoked.access_key_id))
    eventually(lambda: refusal_of(realm, second, "/accel.v1.Accelerator/List")[0], 2)
    refusals = {path: refusal_of(realm, second, path) for path in methods}
    check(realm, refusals, "TICKET_REVOKED", realm.revoked.access_key_id)
    assert refusal_of(realm, grant, "/accel.v1.Accelerator/List")[0] == ""


def test_expired(lone_accelerator: LoneAccelerator, methods: list[str], realm: Realm) -> None:
    """A ticket that lasted its fifteen minutes."""
    old = lone_accelerator.grant(age=1000)
    ids = []
    for path in methods:
        reason, request_id = refusal_of(realm, old, path, credentials=LoneDoor(lone_accelerator))
        assert reason == "TICKET_EXPIRED", path
        ids.append(request_id)

    def lines() -> list[Any]:
        return [one for one in lone_accelerator.decisions if one.request_id in ids]

    eventually(lambda: len(lines()) >= len(ids), 10)
    assert sorted(one.request_id for one in lines()) == sorted(ids)
    assert {(one.allowed, one.who, one.reason) for one in lines()} == {
        (False, KEY_ID, "TICKET_EXPIRED")
    }


def test_without_the_policies_of_its_ticket_nothing_is_done(
    lone_accelerator: LoneAccelerator, realm: Realm
) -> None:
    """A ticket names a version of the policies that never arrives: refused, to be tried again."""
    grant = lone_accelerator.grant()
    ticket = lone_accelerator.signer.issue(
        Principal("tester", "000000000000"),
        lone_accelerator.accelerator_id,
        KEY_ID,
        1,
        CLOCK.steady(),
        policies=99,
    )
    door = LoneDoor(lone_accelerator)
    reason, request_id = refusal_of(
        realm, grant, "/accel.v1.Accelerator/List", ticket=ticket, credentials=door
    )
    assert reason == "BUSY"

    def lines() -> list[Any]:
        return [one for one in lone_accelerator.decisions if one.request_id == request_id]

    eventually(lines, 10)
    assert [(one.allowed, one.reason) for one in lines()] == [(False, "BUSY")]


@dataclass
class LoneDoor:
    """The lone accelerator's channel, by a grant."""

    lone: LoneAccelerator

    def channel(self, grant: Grant) -> grpc.Channel:
        """A channel to it."""
        return self.lone.channel()


def test_good_tickets_are_let_in(realm: Realm, grant: Grant, methods: list[str]) -> None:
    """What the columns refuse is refused for their reason; allowed is one line as well."""
    # Empty messages are wrong calls of some methods, which is found out behind the gate.
    behind = {"", "INVALID_STREAM", "INVALID_MODEL", "MODEL_MISSING"}
    answers = {path: refusal_of(realm, grant, path) for path in methods}
    assert {answer[0] for answer in answers.values()} <= behind, answers
    plain = {path: answer for path, answer in answers.items() if not path.endswith("/Run")}
    lines = realm.lines_of([answer[1] for answer in plain.values()])
    assert len(lines) == len(plain)
    assert {line["who"] for line in lines} == {"arn:aws:iam::000000000000:user/good"}
    assert all(line["allowed"] for line in lines)


@pytest.mark.parametrize("path", ["/accel.v1.Accelerator/Nothing", "/x.Service/Method"])
def test_unknown_methods_have_one_line(realm: Realm, grant: Grant, path: str) -> None:
    """With a good ticket: still nobody is named, for nothing was checked."""
    reason, request_id = refusal_of(realm, grant, path)
    (line,) = realm.lines_of([request_id])
    assert reason == "UNKNOWN_METHOD"
    assert (line["action"], line["allowed"], line["reason"]) == ("", False, "UNKNOWN_METHOD")


def test_public_methods_decide_nothing(realm: Realm, grant: Grant) -> None:
    """Health answers without a ticket (List is not implemented), and leaves no line."""
    before = len(realm.records())
    with realm.channel(grant) as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=patience(10))
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=patience(10))
        next(watch)
        watch.cancel()
    time.sleep(0.3)
    assert len(realm.records()) == before


def test_a_flood_is_cut_and_counted(lone_accelerator: LoneAccelerator) -> None:
    """So that a stranger fills neither the pipe nor the disk."""
    started, before, flood = time.monotonic(), len(lone_accelerator.decisions), 600
    with lone_accelerator.channel() as channel:
        ask = channel.unary_unary("/accel.v1.Accelerator/List")
        futures = [ask.future(b"", timeout=patience(30)) for _ in range(flood)]
        refused = [future.exception() for future in futures]
    assert all(isinstance(one, grpc.RpcError) for one in refused)

    def left_out() -> int:
        reasons = [one.reason for one in lone_accelerator.decisions[before:]]
        return sum(int(reason.split()[0]) for reason in reasons if "left out" in reason)

    eventually(left_out, 10)
    written = len(lone_accelerator.decisions) - before
    assert written <= 200 + 20 * (time.monotonic() - started) + 10


def test_no_call_had_two_lines(realm: Realm) -> None:
    """After all of the above."""
    counts = Counter(one["request_id"] for one in realm.records() if one["request_id"])
    assert counts
    assert set(counts.values()) == {1}
