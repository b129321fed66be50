"""What changes in the identities does to Run streams that are open, within two seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_daemon.iam.principals import Key
from accel_protocol.errors import AccessDeniedError
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor
from client_runtime.transport.channel import call
from client_runtime.transport.lane_choice import LaneChoice
from tests.conftest import Daemon, eventually, patience, start_daemon
from tests.integration.open_stream import ONE, Stream, ending
from tests.integration.realm import ALL, Realm, new_key

WITHIN = 2.0
CONNECT = {"Effect": "Allow", "Action": "elastic-inference:Connect", "Resource": "*"}
DENY_RUN = {"Effect": "Deny", "Action": "elastic-inference:Run", "Resource": "*"}
TWO = b"\x02" * 32


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, engineless: tuple[str, str]) -> Iterator[Realm]:
    """A daemon of this module's own."""
    running = start_daemon(tmp_path_factory.mktemp("realm"), "--port", "0", *engineless)
    made = Realm(running)
    made.add_users()
    yield made
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def all_allowed(realm: Realm) -> Iterator[None]:
    """Each test begins with policies that allow everything, and without tags."""
    set_policy(realm, ALL)
    yield
    set_policy(realm, ALL)


def set_policy(realm: Realm, *statements: dict[str, Any]) -> None:
    """Give the user other policies."""
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    realm.change(lambda now: now.with_policies("good", (document,)))


@contextmanager
def open_stream(realm: Realm, key: Key, kind: str) -> Iterator[Stream]:
    """A stream that works."""
    grant = realm.connect(key)
    with realm.channel(grant) as channel:
        lane = LaneChoice(realm.endpoint, (kind,)).open(channel, grant)
        with contextlib.closing(lane):
            stream = Stream(lane)
            assert stream.reason() == "MODEL_MISSING"
            yield stream


def test_revoked_key_ends_open_streams(realm: Realm, kind: str) -> None:
    """Also one that is idle; the stream of the user's other key goes on."""
    doomed = new_key()
    realm.change(lambda now: now.with_key("good", doomed))
    with open_stream(realm, doomed, kind) as stream, open_stream(realm, realm.good, kind) as other:
        realm.change(lambda now: now.without_key(doomed.access_key_id))
        started = time.monotonic()
        assert ending(stream) == "TICKET_REVOKED"
        assert time.monotonic() - started < patience(WITHIN)
        assert other.reason() == "MODEL_MISSING"


def test_narrowed_policy_takes_effect_on_open_streams(realm: Realm, kind: str) -> None:
    """The call is refused and not the stream, which works on when the policy allows it again."""
    with open_stream(realm, realm.good, kind) as stream:
        set_policy(realm, CONNECT, DENY_RUN)
        eventually(lambda: stream.reason() == "ACCESS_DENIED", WITHIN)
        refusal = stream.call()
        assert "elastic-inference:Run" in refusal.message
        assert realm.daemon.ready["accelerators"][0]["id"] in refusal.message
        (line,) = realm.lines_of([refusal.request_id.rpartition("-")[0]])[-1:]
        assert line["action"] == "elastic-inference:Run"
        assert (line["allowed"], line["graph"]) == (False, ONE.hex())
        set_policy(realm, CONNECT)
        eventually(lambda: stream.reason() == "MODEL_MISSING", WITHIN)


def test_a_deny_of_one_graph(realm: Realm, kind: str) -> None:
    """On one stream, calls of that graph are refused and others are not."""
    condition = {"StringEquals": {"elastic-inference:GraphId": ONE.hex()}}
    with open_stream(realm, realm.good, kind) as stream:
        set_policy(realm, CONNECT, {**DENY_RUN, "Condition": condition})
        eventually(lambda: stream.reason(ONE) == "ACCESS_DENIED", WITHIN)
        assert stream.reason(TWO) == "MODEL_MISSING"


def test_without_connect_the_tickets_end(realm: Realm, kind: str) -> None:
    """Streams as well; and a ticket that ended stays so when the policy is widened again."""
    grant = realm.connect(realm.good)
    with open_stream(realm, realm.good, kind) as stream, realm.channel(grant) as channel:
        set_policy(realm, {**ALL, "Action": "elastic-inference:Describe*"})
        started = time.monotonic()
        assert ending(stream) == "TICKET_REVOKED"
        assert time.monotonic() - started < patience(WITHIN)
        set_policy(realm, ALL)
        fresh = realm.connect(realm.good)
        assert call(channel, fresh, "List", pb.ListRequest())
        with pytest.raises(Exception, match="TICKET_REVOKED"):
            call(channel, grant, "List", pb.ListRequest())


@pytest.mark.parametrize(
    ("action", "method", "request_message"),
    [
        ("GetCapabilities", "GetCapabilities", pb.GetCapabilitiesRequest()),
        ("FindMissing", "FindMissing", pb.FindMissingRequest()),
        ("UploadGraph", "Upload", pb.UploadRequest()),
        ("LoadGraph", "Load", pb.LoadRequest(graph_id=ONE)),
        ("Unload", "Unload", pb.UnloadRequest(graph_id=ONE)),
        ("ListGraphs", "List", pb.ListRequest()),
    ],
)
def test_each_action_can_be_denied(
    realm: Realm, action: str, method: str, request_message: Any
) -> None:
    """The ticket stays good, and the refusal names action and accelerator."""
    full = f"elastic-inference:{action}"
    set_policy(realm, ALL, {**DENY_RUN, "Action": full})
    grant = realm.connect(realm.good)
    request = iter([request_message]) if method == "Upload" else request_message
    with realm.channel(grant) as channel, pytest.raises(AccessDeniedError) as caught:
        call(channel, grant, method, request)
    assert full in caught.value.message
    assert grant.accelerator_id in caught.value.message
    (line,) = realm.lines_of([caught.value.request_id])
    assert line["reason"] == "ACCESS_DENIED: Statement 2 denies it."


def test_tags_take_effect_on_open_streams(realm: Realm, kind: str) -> None:
    """A Deny that asks for the accelerator's tag begins to hold when it is tagged."""
    condition = {"StringEquals": {"aws:ResourceTag/stage": "frozen"}}
    set_policy(realm, ALL, {**DENY_RUN, "Condition": condition})
    with open_stream(realm, realm.good, kind) as stream:
        realm.tag("POST", {"stage": "frozen"})
        eventually(lambda: stream.reason() == "ACCESS_DENIED", WITHIN)
        realm.tag("DELETE", {"stage": ""})
        eventually(lambda: stream.reason() == "MODEL_MISSING", WITHIN)


def test_a_process_that_restarts_is_told_again(realm: Realm) -> None:
    """Its tickets stay good, and so do the Denies."""
    set_policy(realm, CONNECT, DENY_RUN)
    grant = realm.connect(realm.good)
    realm.kill_accelerator()
    with realm.channel(grant) as channel:
        with contextlib.closing(LaneChoice(realm.endpoint, ("grpc",)).open(channel, grant)) as lane:
            assert Stream(lane).reason() == "ACCESS_DENIED"
        assert call(channel, grant, "List", pb.ListRequest())


def test_a_predictor_is_refused_and_goes_on(daemon: Daemon, home: Path, model: Path) -> None:
    """As users see it, with a real model."""
    shared = Realm(daemon)
    user = shared.identities().users[0]

    def narrow(*statements: dict[str, Any]) -> None:
        document = {"Version": "2012-10-17", "Statement": list(statements)}
        shared.change(lambda now: now.with_policies(user.name, (document,)))

    feeds = {"x": np.ones((1, 4), np.float32)}
    with EIPredictor(model) as predictor:
        predictor(feeds)
        narrow(CONNECT, DENY_RUN)

        def is_denied() -> bool:
            try:
                predictor(feeds)
            except AccessDeniedError:
                return True
            return False

        try:
            eventually(is_denied, WITHIN)
            narrow(CONNECT)
            eventually(lambda: not is_denied(), WITHIN)
        finally:
            shared.change(lambda now: now.with_policies(user.name, user.policies))
