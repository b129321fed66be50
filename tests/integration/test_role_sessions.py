"""Sessions of roles at a real accelerator: what limits and ends them, on streams that are open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from accel_daemon.iam.principals import Key, Role, User, new_role_id
from accel_daemon.iam.sessions import SessionIssuer
from accel_protocol.errors import CredentialsError
from accel_protocol.sigv4 import AccessKey
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.transport.channel import call
from client_runtime.transport.grants import request_grant
from client_runtime.transport.lane_choice import LaneChoice
from tests.conftest import eventually, patience, start_daemon
from tests.integration.open_stream import Stream, ending, streams
from tests.integration.realm import ALL, Realm, new_key

WITHIN = 2.0
EVERYTHING = {"Version": "2012-10-17", "Statement": [ALL]}
DENY_RUN = {
    "Version": "2012-10-17",
    "Statement": [ALL, {"Effect": "Deny", "Action": "elastic-inference:Run", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, engineless: tuple[str, str]) -> Iterator[Realm]:
    """A daemon of this module's own, whose one tenant is always the same session."""
    running = start_daemon(tmp_path_factory.mktemp("realm"), "--port", "0", *engineless)
    yield Realm(running)
    assert running.stop() == 0


@pytest.fixture
def parent(realm: Realm) -> Iterator[Key]:
    """The key of a new user ann; the role lab, new as well, may do everything."""
    key = new_key()
    role = Role("lab", new_role_id(), (EVERYTHING,))
    realm.change(lambda now: now.with_user(User("ann", (), (key,))).with_role(role))
    yield key
    realm.change(
        lambda now: replace(
            now,
            users=tuple(user for user in now.users if user.name != "ann"),
            roles=tuple(role for role in now.roles if role.name != "lab"),
        )
    )


def assume(realm: Realm, parent: Key, seconds: int = 900, *policies: dict[str, Any]) -> AccessKey:
    """A session of the role, as AssumeRole issues it, and shorter where wanted."""
    issuer = SessionIssuer((realm.daemon.home / "daemon" / "session.key").read_bytes())
    issued = issuer.issue(
        realm.identities(),
        "lab",
        "night-run",
        datetime.now(UTC),
        seconds,
        policies=policies or None,
        user="ann",
        parents=(parent.access_key_id,),
    )
    return AccessKey(issued.access_key_id, issued.secret_access_key, issued.session_token)


@contextmanager
def open_stream(realm: Realm, key: AccessKey, kind: str) -> Iterator[Stream]:
    """A stream with a ticket of this session."""
    grant = request_grant(realm.endpoint, key, None)
    with realm.channel(grant) as channel:
        stream = Stream(LaneChoice(realm.endpoint, (kind,)).open(channel, grant))
        yield stream
        stream.lane.close()


def test_session_runs(realm: Realm, parent: Key, kind: str) -> None:
    """It gets as far as a missing model, and the audit log names the session."""
    with open_stream(realm, assume(realm, parent), kind) as stream:
        refusal = stream.call()
        assert refusal.reason == "MODEL_MISSING"
        (line,) = realm.lines_of([refusal.request_id.rpartition("-")[0]])[-1:]
        assert line["who"] == "arn:aws:sts::000000000000:assumed-role/lab/night-run"


def test_removed_role_ends_open_streams(realm: Realm, parent: Key, kind: str) -> None:
    """Within two seconds; a new session of a new role of the same name works at once."""
    with open_stream(realm, assume(realm, parent), kind) as stream:
        assert stream.reason() == "MODEL_MISSING"
        realm.change(lambda now: now.without_role("lab"))
        started = time.monotonic()
        assert ending(stream) == "TICKET_REVOKED"
        assert time.monotonic() - started < patience(WITHIN)
    realm.change(lambda now: now.with_role(Role("lab", new_role_id(), (EVERYTHING,))))
    with open_stream(realm, assume(realm, parent), kind) as stream:
        assert stream.reason() == "MODEL_MISSING"


def test_revoked_key_ends_streams_of_the_sessions_behind_it(
    realm: Realm, parent: Key, kind: str
) -> None:
    """And the session gets no other ticket."""
    session = assume(realm, parent)
    with open_stream(realm, session, kind) as stream:
        assert stream.reason() == "MODEL_MISSING"
        realm.change(lambda now: now.without_key(parent.access_key_id))
        started = time.monotonic()
        assert ending(stream) == "TICKET_REVOKED"
        assert time.monotonic() - started < patience(WITHIN)
    with pytest.raises(CredentialsError):
        request_grant(realm.endpoint, session, None)


def test_stream_ends_with_its_session(realm: Realm, parent: Key) -> None:
    """Although tickets may live for longer, and a new one is refused as expired."""
    session = assume(realm, parent, 4)
    grant = request_grant(realm.endpoint, session, None)
    with realm.channel(grant) as channel, streams(realm.endpoint, channel, grant) as opened:
        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(opened)
        assert [ending(stream) for stream in opened] == ["TICKET_EXPIRED"] * len(opened)
    with pytest.raises(CredentialsError) as caught:
        request_grant(realm.endpoint, session, None)
    assert caught.value.reason == "CREDENTIALS_EXPIRED"


def test_session_policy_holds_at_the_accelerator(realm: Realm, parent: Key, kind: str) -> None:
    """A Deny of Run that only this session has."""
    with open_stream(realm, assume(realm, parent, 900, DENY_RUN), kind) as stream:
        assert stream.reason() == "ACCESS_DENIED"
    session = assume(realm, parent)
    with open_stream(realm, session, kind) as stream:
        assert stream.reason() == "MODEL_MISSING"
        grant = request_grant(realm.endpoint, session, None)
        with realm.channel(grant) as channel:
            assert call(channel, grant, "List", pb.ListRequest())


@pytest.mark.parametrize("member", ["policies", "boundary"])
def test_changed_role_takes_effect_on_open_streams(
    realm: Realm, parent: Key, member: str, kind: str
) -> None:
    """Its policies and its boundary, there and back."""
    narrow: dict[str, Any] = {"policies": (DENY_RUN,), "boundary": DENY_RUN}
    wide: dict[str, Any] = {"policies": (EVERYTHING,), "boundary": None}
    with open_stream(realm, assume(realm, parent), kind) as stream:
        assert stream.reason() == "MODEL_MISSING"
        for values, reason in ((narrow, "ACCESS_DENIED"), (wide, "MODEL_MISSING")):
            changed = {member: values[member]}
            realm.change(
                lambda now, changed=changed: now.with_changed_role(
                    "lab", lambda role: replace(role, **changed)
                )
            )
            eventually(lambda reason=reason: stream.reason() == reason, WITHIN)
