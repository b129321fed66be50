"""Whoever cannot prove who they are gets a clear error that names the remedy, and nothing runs."""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from accel_daemon.iam.principals import User
from accel_protocol.errors import (
    AcceleratorError,
    AccessDeniedError,
    ConfigurationError,
    CredentialsError,
    PeerIdentityError,
)
from accel_protocol.lanes import KINDS
from accel_protocol.methods import METHODS
from client_runtime import connect
from client_runtime.transport import grants
from client_runtime.transport.channel import call, typed
from client_runtime.transport.lane_choice import LaneChoice
from tests.conftest import Daemon, patience
from tests.integration.conftest import LoneAccelerator
from tests.integration.open_stream import ending, streams
from tests.integration.realm import Realm, new_key


def other_home(tmp_path: Path, daemon: Daemon, **changes: str) -> Path:
    """A home with the daemon's profile, changed."""
    profile = json.loads((daemon.home / "client.json").read_text())
    (tmp_path / "client.json").write_text(json.dumps({**profile, **changes}))
    return tmp_path


def refused(error: type[AcceleratorError], reason: str) -> AcceleratorError:
    """Connecting fails with this error, which names a remedy."""
    with pytest.raises(error) as caught:
        connect()
    assert caught.value.reason == reason
    assert caught.value.remedy
    return caught.value


def test_wrong_secret(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong secret and an unknown key are refused alike."""
    for change in ({"secret_access_key": "x" * 40}, {"access_key_id": "AKIA" + "A" * 16}):
        monkeypatch.setenv("ACCEL_HOME", str(other_home(tmp_path, daemon, **change)))

        error = refused(CredentialsError, "SIGNATURE_MISMATCH")

        assert error.request_id


def test_no_credentials(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint without any credentials says where to get some."""
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ACCEL_ENDPOINT", daemon.ready["control"])
    monkeypatch.setenv("ACCEL_CA_FILE", daemon.ready["ca_file"])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    refused(CredentialsError, "MISSING_CREDENTIALS")


def test_credentials_of_the_aws_chain(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment variables that every AWS tool reads are enough."""
    profile = json.loads((daemon.home / "client.json").read_text())
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL_ELASTIC_INFERENCE", daemon.ready["control"])
    monkeypatch.setenv("ACCEL_CA_FILE", daemon.ready["ca_file"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", profile["access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", profile["secret_access_key"])

    with connect() as attachment:
        assert attachment.accelerator_id == daemon.ready["accelerators"][0]["id"]


def test_nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing to connect to, the error lists what was tried."""
    monkeypatch.setenv("ACCEL_HOME", str(tmp_path))

    error = refused(ConfigurationError, "NOT_CONFIGURED")

    assert "ACCEL_ENDPOINT" in error.message
    assert str(tmp_path) in error.message


def test_wrong_authority(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon whose certificate another CA signed is not talked to."""
    other = tmp_path / "other.pem"
    make_authority(other)
    home = other_home(tmp_path, daemon, ca_file=str(other))
    monkeypatch.setenv("ACCEL_HOME", str(home))

    error = refused(PeerIdentityError, "UNTRUSTED_PEER")

    assert "ACCEL_CA_FILE" in error.remedy


def make_authority(path: Path) -> None:
    """Write a CA's certificate that has signed nothing here."""
    from accel_daemon.pki.authority import create_authority

    path.write_bytes(create_authority(datetime.now(UTC), "another authority").certificate_pem)


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clock_off(
    home: Path,
    minutes: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A clock 20 minutes off is told the daemon's time, and the client signs again with that."""

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(minutes=minutes)

    monkeypatch.setattr(grants, "datetime", WrongClock)

    with caplog.at_level("WARNING"), connect() as attachment:
        assert attachment.list().process.uptime_us
    assert "Signing again with the daemon's time" in caplog.text


def test_plain_http_endpoint(home: Path) -> None:
    """There is no plain-text port, and the client never tries one."""
    with pytest.raises(ConfigurationError, match="https"):
        connect("http://127.0.0.1:9443")


def test_plain_text_grpc_to_the_tls_port(daemon: Daemon) -> None:
    """Plain-text gRPC fails at once, without an answer and without hanging."""
    address = daemon.ready["accelerators"][0]["endpoint"]
    method = METHODS["List"]
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method.path)(b"", timeout=patience(10))

    assert typed(caught.value).reason == "UNAVAILABLE"
    assert typed(caught.value).remedy


def test_unknown_accelerator(home: Path) -> None:
    """Asking for an accelerator that does not exist names the ones that do."""
    with pytest.raises(AcceleratorError) as caught:
        connect(accelerator_id="eia-" + "0" * 32)

    assert caught.value.reason in ("ACCELERATOR_NOT_FOUND", "ACCESS_DENIED")


def test_denied_user(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose policy does not allow Connect is known, and refused."""
    allowed = {"Effect": "Allow", "Action": "elastic-inference:Describe*", "Resource": "*"}
    document, key, realm = (
        {"Version": "2012-10-17", "Statement": [allowed]},
        new_key(),
        Realm(daemon),
    )
    realm.change(lambda now: now.with_user(User("reader", (document,), (key,))))
    pair = {"access_key_id": key.access_key_id, "secret_access_key": key.secret_access_key}
    home = other_home(tmp_path, daemon, **pair)
    monkeypatch.setenv("ACCEL_HOME", str(home))

    try:
        refused(AccessDeniedError, "ACCESS_DENIED")
    finally:
        realm.change(lambda now: now.without_user("reader"))


# Tickets: an accelerator started by the test, which therefore can sign any ticket.


bad_tickets = pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ticket": ""}, "MISSING_TICKET"),
        ({"ticket": "nonsense"}, "INVALID_TICKET"),
        ({"age": 1000}, "TICKET_EXPIRED"),
        ({"accelerator_id": "eia-" + "1" * 32}, "INVALID_TICKET"),
        ({"tenancy": 2}, "TICKET_EXPIRED"),
        ({"signer": "another"}, "INVALID_TICKET"),
    ],
)


@bad_tickets
@pytest.mark.parametrize("method", ["GetCapabilities", "FindMissing", "List", "Unload", "Load"])
def test_bad_tickets(
    lone_accelerator: LoneAccelerator, change: dict[str, object], reason: str, method: str
) -> None:
    """An expired, foreign, forged or missing ticket opens no method."""
    grant = lone_accelerator.grant(**change)
    with lone_accelerator.channel() as channel, pytest.raises(CredentialsError) as caught:
        call(channel, grant, method, METHODS[method].request())

    assert caught.value.reason == reason
    assert caught.value.remedy
    assert caught.value.request_id


def run(accelerator: LoneAccelerator, grant: grants.Grant, kind: str) -> None:
    """Open a lane, and wait for what comes."""
    with accelerator.channel() as channel:
        lane = LaneChoice(accelerator.endpoint, (kind,)).open(channel, grant)
        with contextlib.closing(lane):
            lane.receive()


@bad_tickets
def test_bad_tickets_on_lanes(
    lone_accelerator: LoneAccelerator, change: dict[str, object], reason: str, kind: str
) -> None:
    """Nor any lane."""
    grant = lone_accelerator.grant(**change)
    with pytest.raises(CredentialsError) as caught:
        run(lone_accelerator, grant, kind)

    assert caught.value.reason == reason
    assert caught.value.remedy
    assert caught.value.request_id


def test_no_ticket(lone_accelerator: LoneAccelerator) -> None:
    """Every method of the service asks for a ticket."""
    for method in METHODS.values():
        with lone_accelerator.channel() as channel, pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream(method.path)(iter([b""]), timeout=patience(10)))

        assert typed(caught.value).reason == "MISSING_TICKET"


def test_stream_ends_with_its_ticket(lone_accelerator: LoneAccelerator) -> None:
    """An open stream is cut when its ticket expires, not at its next call."""
    grant, endpoint = lone_accelerator.grant(age=896), lone_accelerator.endpoint
    with lone_accelerator.channel() as channel, streams(endpoint, channel, grant) as opened:
        started = time.monotonic()
        assert [ending(stream) for stream in opened] == ["TICKET_EXPIRED"] * len(KINDS)

    assert time.monotonic() - started < patience(10)
