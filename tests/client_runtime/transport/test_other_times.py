"""What a client says of a certificate that is good at another time than its clock shows."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from accel_daemon.pki.authority import Authority, create_authority, issue_leaf
from accel_protocol.errors import PeerIdentityError
from accel_protocol.sigv4 import AccessKey
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import grants

NOW = datetime.now(UTC)
KEY = AccessKey("AKIA" + "A" * 16, "s" * 40)
AUTHORITY = create_authority(NOW - timedelta(days=200), "Test CA")


@contextlib.contextmanager
def endpoint(folder: Path, made: datetime, trusted: Authority = AUTHORITY) -> Iterator[Endpoint]:
    """One that shows a certificate made then, and is asked once."""
    leaf = issue_leaf(AUTHORITY, name="localhost", ip_addresses=["127.0.0.1"], now=made)
    (folder / "leaf.pem").write_bytes(leaf.private_key_pem + leaf.certificate_pem)
    (folder / "ca.pem").write_bytes(trusted.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")

    def serve() -> None:
        with contextlib.suppress(OSError):
            context.wrap_socket(listener.accept()[0], server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        yield Endpoint(url, str(folder / "ca.pem"), "us-east-1", "the test")
        thread.join(10)


@pytest.mark.parametrize("days", [-100, 2])
def test_the_clock_is_to_be_checked(tmp_path: Path, days: int) -> None:
    """The one or the other is wrong: the certificate is not valid any more, or not yet."""
    made = NOW + timedelta(days=days)
    with endpoint(tmp_path, made) as there, pytest.raises(PeerIdentityError) as caught:
        grants.request_grant(there, KEY, None)
    assert caught.value.remedy == "Check this machine's clock, and the daemon's."


def test_another_authority_s_certificate_has_nothing_to_do_with_clocks(tmp_path: Path) -> None:
    """Its refusal has the usual remedy."""
    stranger = create_authority(NOW, "Another CA")
    with endpoint(tmp_path, NOW, stranger) as there, pytest.raises(PeerIdentityError) as caught:
        grants.request_grant(there, KEY, None)
    assert "clock" not in caught.value.remedy
