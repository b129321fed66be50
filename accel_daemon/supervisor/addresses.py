"""Hosts and ports in text: what clients are told, and what stands in certificates."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

_ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, never listened on
_DNS_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9-]*[A-Za-z0-9])*")


@dataclass(frozen=True)
class AlternativeNames:
    """The names and addresses under which a server's certificate is valid."""

    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]


def advertised_host(listen_host: str) -> str:
    """The host that clients are told: this machine's name when listening on all interfaces."""
    return socket.gethostname() if listen_host in _ANY_HOST else listen_host


def endpoint(host: str, port: int) -> str:
    """HOST:PORT, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def alternative_names(*hosts: str) -> AlternativeNames:
    """Localhost, the loopback addresses, and these hosts: names, addresses, or neither."""
    dns_names, addresses = ["localhost"], ["127.0.0.1", "::1"]
    for host in hosts:
        if _is_address(host):
            addresses.append(host)
        elif _DNS_NAME.fullmatch(host):
            dns_names.append(host)
    return AlternativeNames(tuple(dict.fromkeys(dns_names)), tuple(dict.fromkeys(addresses)))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
