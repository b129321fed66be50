"""Certificates are replaced in a running daemon, and nobody's stream notices."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from accel_protocol.lanes import KINDS
from tests.conftest import eventually, start_daemon
from tests.integration.open_stream import streams
from tests.integration.realm import Realm


@pytest.fixture(scope="module")
def realm(tmp_path_factory: pytest.TempPathFactory, engineless: tuple[str, str]) -> Iterator[Realm]:
    """A daemon of this module's own."""
    made = Realm(start_daemon(tmp_path_factory.mktemp("realm"), "--port", "0", *engineless))
    made.add_users()
    yield made
    assert made.daemon.stop() == 0


def serial(address: str) -> int:
    """The serial number of the certificate that a new connection is shown."""
    host, _, port = address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def addresses(realm: Realm) -> tuple[str, str]:
    """HOST:PORT of the control endpoint and of the accelerator."""
    ready = realm.daemon.ready
    return urlsplit(ready["control"]).netloc, ready["accelerators"][0]["endpoint"]


def renew(realm: Realm) -> None:
    """SIGHUP, and wait until both endpoints show another certificate than before."""
    before = [(address, serial(address)) for address in addresses(realm)]
    realm.daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: all(serial(address) != old for address, old in before), 10)


def test_open_stream_goes_on_when_certificates_are_replaced(realm: Realm) -> None:
    """Those that were open before answer afterwards, from the same process."""
    pid, grant = realm.daemon.accelerator_pid(), realm.connect(realm.good)
    with realm.channel(grant) as channel, streams(realm.endpoint, channel, grant) as opened:
        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(KINDS)

        renew(realm)

        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(KINDS)
    assert realm.daemon.accelerator_pid() == pid


def test_new_stream_trusts_the_new_certificate(realm: Realm) -> None:
    """Whoever connects afterwards verifies it with the authority that it knows already."""
    renew(realm)

    grant = realm.connect(realm.good)
    with realm.channel(grant) as channel, streams(realm.endpoint, channel, grant) as opened:
        assert [stream.reason() for stream in opened] == ["MODEL_MISSING"] * len(KINDS)
