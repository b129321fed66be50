"""EC2 instance metadata, from services that are as they should be and from others."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client_runtime.discovery.bounded_http import ExchangeError, Reply
from client_runtime.discovery.instance_metadata import (
    DEFAULT_ADDRESS,
    MAX_ACCELERATORS,
    address,
    ask,
    is_ec2_instance,
    read_ids,
    read_region,
)
from tests.conftest import patience

FOLDER = "/latest/meta-data/elastic-inference"
A, B = "eia-" + "a" * 32, "eia-" + "b" * 32
TOKEN = ("PUT", "/latest/api/token")
GOOD = {
    TOKEN: (200, "token-1"),
    ("GET", f"{FOLDER}/associations"): (200, f"{A}\n{B}"),
    ("GET", f"{FOLDER}/endpoint"): (200, "https://gpu.example:9443"),
    ("GET", "/latest/meta-data/placement/region"): (200, "eu-west-1"),
}


@pytest.mark.parametrize(
    ("environment", "is_ec2", "base", "why"),
    [
        ({}, False, None, "no EC2 instance"),
        ({}, True, DEFAULT_ADDRESS, ""),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://h:1/"}, False, "http://h:1", ""),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": ""}, False, None, "not set"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://h:1", "AWS_EC2_METADATA_DISABLED": "True"},
         True, None, "AWS_EC2_METADATA_DISABLED"),
        ({"AWS_EC2_METADATA_DISABLED": "false"}, True, DEFAULT_ADDRESS, ""),
    ],
)  # fmt: skip
def test_where_to_ask(
    environment: dict[str, str], is_ec2: bool, base: str | None, why: str
) -> None:
    """The variable counts anywhere, the default address only on EC2."""
    found, reason = address(environment, is_ec2)
    assert found == base
    assert why in reason


@pytest.mark.parametrize(
    ("files", "is_ec2"),
    [
        ({}, False),
        ({"class/dmi/id/sys_vendor": "Amazon EC2\n"}, True),
        ({"class/dmi/id/sys_vendor": "Xen\n", "hypervisor/uuid": "ec2e1916-9099\n"}, True),
        ({"class/dmi/id/product_uuid": "EC2E1916-9099\n"}, True),
        ({"class/dmi/id/sys_vendor": "Xen", "class/dmi/id/product_version": "4.11.amazon"}, True),
        ({"class/dmi/id/sys_vendor": "LENOVO\n", "hypervisor/uuid": "0ec2\n"}, False),
    ],
)
def test_what_looks_like_ec2(tmp_path: Path, files: dict[str, str], is_ec2: bool) -> None:
    """Firmware and hypervisor say so."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert is_ec2_instance(tmp_path) == is_ec2


def test_version_2(web_server: Callable[..., Any]) -> None:
    """A token first, and then with every question."""
    server = web_server(GOOD)
    found = ask(server.url, {})
    assert (found.endpoint, found.accelerators) == ("https://gpu.example:9443", (A, B))
    assert found.region == "eu-west-1"
    tokens = [headers.get("X-aws-ec2-metadata-token") for _, _, headers in server.requests]
    assert tokens == [None, "token-1", "token-1", "token-1"]
    assert server.requests[0][2]["X-aws-ec2-metadata-token-ttl-seconds"] == "60"


@pytest.mark.parametrize("status", [403, 404, 405])
def test_version_1(web_server: Callable[..., Any], status: int) -> None:
    """A service that has no tokens is asked without, unless that is switched off."""
    server = web_server({**GOOD, TOKEN: (status, "")})
    assert ask(server.url, {}).accelerators == (A, B)
    assert all("X-aws-ec2-metadata-token" not in headers for _, _, headers in server.requests)
    with pytest.raises(ExchangeError, match="version 1 only"):
        ask(server.url, {"AWS_EC2_METADATA_V1_DISABLED": "true"})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({TOKEN: (400, "")}, "no token .status 400"),
        ({TOKEN: (500, "")}, "no token .status 500"),
        ({TOKEN: (200, "")}, "no token"),
        ({TOKEN: (200, "a\r\nX: y")}, "no token"),
        ({("GET", f"{FOLDER}/associations"): (404, "")}, "no accelerator is associated"),
        ({("GET", f"{FOLDER}/associations"): (500, "")}, "status 500"),
        ({("GET", f"{FOLDER}/associations"): (200, "")}, "lists 0"),
        ({("GET", f"{FOLDER}/associations"): (200, "<html>")}, "no accelerator's id"),
        ({("GET", f"{FOLDER}/associations"): (200, "x" * 70_000)}, "too large"),
        ({("GET", f"{FOLDER}/endpoint"): (404, "")}, "2 accelerator.*shut down in 2024"),
        ({("GET", f"{FOLDER}/endpoint"): (302, "http://evil.example/")}, "shut down"),
        ({("GET", f"{FOLDER}/endpoint"): (200, "")}, "shut down"),
    ],
)
def test_refused(web_server: Callable[..., Any], change: dict[Any, Any], why: str) -> None:
    """Each with its reason, and none of them a crash."""
    with pytest.raises(ExchangeError, match=why):
        ask(web_server({**GOOD, **change}).url, {})


def test_region_of_the_zone(web_server: Callable[..., Any]) -> None:
    """Older services tell the zone only."""
    without = {key: value for key, value in GOOD.items() if "region" not in key[1]}
    zone = {("GET", "/latest/meta-data/placement/availability-zone"): (200, "us-gov-west-1b")}
    assert ask(web_server({**without, **zone}).url, {}).region == "us-gov-west-1"
    assert ask(web_server(without).url, {}).region is None


def test_a_service_that_hangs(raw_server: Callable[..., str]) -> None:
    """Two seconds for everything, here less."""
    started = time.monotonic()
    with pytest.raises(ExchangeError, match="in time"):
        ask(raw_server(stays=True), {}, 0.3)
    assert time.monotonic() - started < patience(2)


@pytest.mark.parametrize(
    ("text", "ids"),
    [(A, (A,)), (f"{A}\r\n{B}\r\n", (A, B)), (f"{A}\n{A}", (A,)), (f" {B} \n\n{A}", (B, A))],
)
def test_read_ids(text: str, ids: tuple[str, ...]) -> None:
    """In their order, each once."""
    assert read_ids(Reply(200, text.encode())) == ids


def test_too_many_ids() -> None:
    """As many as one daemon is asked for."""
    ids = [f"eia-{number:032x}" for number in range(MAX_ACCELERATORS + 1)]
    assert len(read_ids(Reply(200, "\n".join(ids[1:]).encode()))) == MAX_ACCELERATORS
    with pytest.raises(ExchangeError, match="lists 65"):
        read_ids(Reply(200, "\n".join(ids).encode()))


@pytest.mark.parametrize(
    ("text", "zone", "region"),
    [("us-east-1", False, "us-east-1"), ("ap-northeast-2c", True, "ap-northeast-2"),
     ("us-east-1a", False, None), ("", True, None), ("\x1b[2J", False, None), ("X", False, None)],
)  # fmt: skip
def test_read_region(text: str, zone: bool, region: str | None) -> None:
    """What is no region is not used."""
    assert read_region(Reply(200, text.encode()), zone=zone) == region
    assert read_region(Reply(404, text.encode()), zone=zone) is None
