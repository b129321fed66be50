"""The daemon's clock is set by hours and years, while it, its accelerator and clients run."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import urllib3
from cryptography import x509

from accel_daemon.control.status_client import call_daemon
from accel_daemon.faults.fault import parse_fault
from accel_protocol.sigv4 import AccessKey, HttpRequest, sign
from client_runtime import EIPredictor, connect
from client_runtime.transport.grants import request_grant
from tests.conftest import eventually, start_daemon, use_home
from tests.integration.conftest import one_per_lane
from tests.integration.open_stream import streams
from tests.integration.realm import ALL, Realm

FEEDS = {"x": np.ones((1, 4), np.float32)}
HOUR, YEAR = 3600, 365 * 86_400
JUMPS = [2 * HOUR, -2 * HOUR, 5 * YEAR, -5 * YEAR]


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Realm]:
    """A daemon whose clock tests may set."""
    made = Realm(start_daemon(tmp_path_factory.mktemp("realm"), "--port", "0", "--allow-faults"))
    yield made
    assert made.daemon.stop() == 0


@pytest.fixture(autouse=True)
def _client(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is its client, and the clock is right again at the end."""
    use_home(monkeypatch, realm.daemon.home)
    yield
    set_right(realm)


def ask(realm: Realm, method: str, path: str, body: bytes = b"") -> Any:
    """A call of the administrator's."""
    return call_daemon(realm.daemon.home / "client.json", method, path, body)


def set_clock(realm: Realm, seconds: float) -> None:
    """Set the daemon's clock ahead, or back."""
    fault = parse_fault(f"clock-skew:offset_seconds={seconds}")
    ask(realm, "POST", "/faults", json.dumps(fault.to_document()).encode())


def set_right(realm: Realm) -> None:
    """Set the daemon's clock to what this machine's shows."""
    ask(realm, "DELETE", "/faults")


def refusals(realm: Realm) -> int:
    """How much was refused, to whom or why ever."""
    return sum(not one["allowed"] for one in realm.records())


def connects(realm: Realm) -> int:
    """How many tickets were issued."""
    lines = [one for one in realm.records() if one["action"] == "elastic-inference:Connect"]
    return sum(one["allowed"] for one in lines)


@pytest.mark.parametrize("seconds", JUMPS)
def test_a_client_notices_nothing(realm: Realm, model: Path, seconds: int) -> None:
    """Its stream and ticket stay good, whoever comes anew is let in, there and back."""
    predictors = one_per_lane(model)
    for predictor in predictors:
        predictor(FEEDS)
    issued, refused = connects(realm), refusals(realm)
    for jump in (lambda: set_clock(realm, seconds), lambda: set_right(realm)):
        jump()
        for predictor in predictors * 3:
            predictor(FEEDS)
        assert connects(realm) == issued
        with connect() as other:
            assert other.accelerator_id == realm.daemon.ready["accelerators"][0]["id"]
        issued += 1
    assert refusals(realm) == refused
    for predictor in predictors:
        predictor.close()


def test_the_audit_log_says_when_the_clock_was_set(realm: Realm) -> None:
    """Each time by how much, so that the times of its lines can be understood."""
    set_clock(realm, 3 * HOUR)
    eventually(lambda: sum(jumps(realm)) == 3 * HOUR, 10)
    set_right(realm)
    eventually(lambda: sum(jumps(realm)) == 0, 10)


def jumps(realm: Realm) -> list[int]:
    """By how many seconds the clock was set each time, as the audit log says."""
    lines = [one["reason"] for one in realm.records() if one["action"] == "clock"]
    found = [re.fullmatch(r"The clock was set (ahead|back) by (\d+) s\.", one) for one in lines]
    return [int(one[2]) * (1 if one[1] == "ahead" else -1) for one in found if one is not None]


def test_a_request_counts_once(realm: Realm) -> None:
    """Not again when the clock was set far ahead, forgot what was long ago, and was set back."""
    profile = json.loads((realm.daemon.home / "client.json").read_text())
    host = realm.endpoint.control.removeprefix("https://")
    headers = {"Host": host, "X-Accel-Nonce": "1"}
    request = HttpRequest("POST", "/connect", "", tuple(headers.items()), b"{}")
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    names = {"region": profile["region"], "service": "elastic-inference"}
    signed = sign(request, key, now=datetime.now(UTC), **names)
    context = ssl.create_default_context(cafile=profile["ca_file"])

    def send() -> tuple[int, str]:
        with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
            url = realm.endpoint.control + "/connect"
            answer = pool.request("POST", url, body=b"{}", headers={**headers, **signed})
            return answer.status, str(answer.json().get("reason", ""))

    assert send() == (200, "")
    assert send() == (403, "SIGNATURE_REPLAYED")
    set_clock(realm, 2 * HOUR)
    request_grant(realm.endpoint, key, None)
    assert send()[0] == 403
    set_right(realm)
    request_grant(realm.endpoint, key, None)
    assert send() == (403, "SIGNATURE_REPLAYED")


def test_sessions_last_as_long_as_they_would_have(realm: Realm) -> None:
    """Temporary credentials of a user outlive a jump past the end that was shown with them."""
    profile = json.loads((realm.daemon.home / "client.json").read_text())
    host = realm.endpoint.control.removeprefix("https://")
    body = b"Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900"
    kind = {"Host": host, "Content-Type": "application/x-www-form-urlencoded"}
    request = HttpRequest("POST", "/", "", tuple(kind.items()), body)
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    signed = sign(request, key, region=profile["region"], service="sts", now=datetime.now(UTC))
    context = ssl.create_default_context(cafile=profile["ca_file"])
    with urllib3.PoolManager(ssl_context=context, retries=False) as pool:
        url = realm.endpoint.control + "/"
        answer = pool.request("POST", url, body=body, headers={**kind, **signed})
    assert answer.status == 200, answer.data
    text = answer.data.decode()
    parts = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    session = AccessKey(*(text.split(f"<{one}>")[1].split("<")[0] for one in parts))

    for seconds in (2 * HOUR, -2 * HOUR):
        set_clock(realm, seconds)
        assert request_grant(realm.endpoint, session, None).ticket
        set_right(realm)


def test_policies_follow_the_clock(realm: Realm) -> None:
    """At the accelerator too, which has no other clock than the daemon."""
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    deny = {
        "Effect": "Deny",
        "Action": "elastic-inference:Run",
        "Resource": "*",
        "Condition": {"DateGreaterThan": {"aws:CurrentTime": later}},
    }
    document = {"Version": "2012-10-17", "Statement": [ALL, deny]}
    user = realm.identities().users[0].name
    before = realm.identities().users[0].policies
    realm.change(lambda now: now.with_policies(user, (document,)))
    profile = json.loads((realm.daemon.home / "client.json").read_text())
    key = AccessKey(profile["access_key_id"], profile["secret_access_key"])
    try:
        grant = request_grant(realm.endpoint, key, None)
        with realm.channel(grant) as channel, streams(realm.endpoint, channel, grant) as opened:
            assert {stream.reason() for stream in opened} == {"MODEL_MISSING"}
            set_clock(realm, 2 * HOUR)
            assert {stream.reason() for stream in opened} == {"ACCESS_DENIED"}
            set_right(realm)
            assert {stream.reason() for stream in opened} == {"MODEL_MISSING"}
    finally:
        realm.change(lambda now: now.with_policies(user, before))


@pytest.mark.parametrize("seconds", [5 * YEAR, -5 * YEAR])
def test_certificates_follow_and_processes_start(realm: Realm, model: Path, seconds: int) -> None:
    """Soon both endpoints are good for who believes the clock, and for this client as before."""
    set_clock(realm, seconds)
    believed = datetime.now(UTC) + timedelta(seconds=seconds)
    eventually(lambda: all(is_good(one, believed) for one in addresses(realm)), 40)
    realm.kill_accelerator()
    with EIPredictor(model) as predictor:
        predictor(FEEDS)
    assert all(is_good(one, datetime.now(UTC)) for one in addresses(realm))


def addresses(realm: Realm) -> tuple[str, str]:
    """HOST:PORT of the control endpoint and of the accelerator."""
    ready = realm.daemon.ready
    return urlsplit(ready["control"]).netloc, ready["accelerators"][0]["endpoint"]


def is_good(address: str, now: datetime) -> bool:
    """Whether a new connection is shown a certificate that is good then, or as soon as any was."""
    host, _, port = address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)), timeout=10)
    shown = x509.load_pem_x509_certificate(pem.encode())
    # The authority was made a minute ago, so that nothing that it signs was good years before.
    first = max(now, datetime.now(UTC) - timedelta(days=1))
    return shown.not_valid_before_utc <= first and now < shown.not_valid_after_utc
