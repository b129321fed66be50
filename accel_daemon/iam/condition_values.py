"""Typed values of conditions: numbers, times, truth values, bytes, networks. None: not of the type.

The same functions read the policy's side, where None refuses the policy, and the request's side,
where None fails the statement safely. Nothing here reads a text in more than one pass.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_EPOCH = re.compile(r"[0-9]{5,12}(\.[0-9]{1,9})?")
_YEAR_OR_MONTH = re.compile(r"[0-9]{4}(-[0-9]{2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_AND_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.([0-9]{1,9}))?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_NETWORK = re.compile(r"([0-9A-Fa-f.:]{2,45})(/[0-9]{1,3})?")
_IPV4 = ipaddress.IPv4Address
_EPOCH_START = datetime(1970, 1, 1, tzinfo=UTC)


def read_number(text: str) -> Decimal | None:
    """A decimal number, exactly."""
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def read_time(text: str) -> datetime | None:
    """An aware time, from ISO 8601 as W3C profiles it, or from seconds since the epoch.

    A year, month or date stands for its first moment in UTC; a time of day needs its zone.
    """
    if _EPOCH.fullmatch(text):
        try:
            return _EPOCH_START + timedelta(seconds=float(text))
        except OverflowError:
            return None
    try:
        return _read_iso_time(text)
    except ValueError:
        return None


def read_truth(text: str) -> bool | None:
    """`true` or `false`, in any case."""
    return {"true": True, "false": False}.get(text.lower())


def read_bytes(text: str) -> bytes | None:
    """Bytes in base64."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):
        return None


def read_network(text: str) -> Network | None:
    """A network of IPv4 or IPv6; without a prefix length it is one address.

    A network of IPv4 addresses in IPv6 ones is one of IPv4, as with read_address.
    """
    if not _NETWORK.fullmatch(text):
        return None
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    mapped = read_address(str(network.network_address))
    if network.version == 6 and network.prefixlen >= 96 and isinstance(mapped, _IPV4):
        return ipaddress.ip_network((mapped, network.prefixlen - 96))
    return network


def read_address(text: str) -> Address | None:
    """One address; an IPv4 address in an IPv6 one, as two-stack sockets report it, is IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _read_iso_time(text: str) -> datetime | None:
    if _YEAR_OR_MONTH.fullmatch(text):
        return datetime(int(text[:4]), int(text[5:] or 1), 1, tzinfo=UTC)
    if _DATE.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    found = _DATE_AND_TIME.fullmatch(text)
    if found is None:
        return None
    whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    return whole.replace(microsecond=int((found[2] or "").ljust(6, "0")[:6]))
