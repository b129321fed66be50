"""Hosts and ports in text."""

from __future__ import annotations

import socket

import pytest

from accel_daemon.supervisor.addresses import advertised_host, alternative_names, endpoint


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("box.example", "box.example"),
        ("0.0.0.0", socket.gethostname()),
        ("::", socket.gethostname()),
    ],
)
def test_advertised_host(host: str, told: str) -> None:
    """Clients are never told to connect to "all interfaces"."""
    assert advertised_host(host) == told


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("box", "box:80")]
)
def test_endpoint(host: str, text: str) -> None:
    """IPv6 addresses stand in brackets."""
    assert endpoint(host, 80) == text


def test_alternative_names_sorts_out_addresses_names_and_neither() -> None:
    """What cannot stand in a certificate is left out instead of stopping the daemon."""
    names = alternative_names("10.0.0.7", "box.example", "under_score", "0.0.0.0")
    assert names.dns_names == ("localhost", "box.example")
    assert names.ip_addresses == ("127.0.0.1", "::1", "10.0.0.7", "0.0.0.0")
