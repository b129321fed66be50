"""Ids that stay, and which accelerator a caller means."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accel_daemon.home import Home, make_private_folder
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec
from accel_daemon.supervisor.fleet import Fleet, Listening, build_fleet, remembered_ids
from accel_daemon.supervisor.launcher import LocalLauncher
from accel_daemon.supervisor.placement import Trust
from accel_protocol.errors import ConfigurationError

HOST, LARGE = AcceleratorSpec("host"), AcceleratorSpec("eia2.large")


def build(home: Home, *specs: AcceleratorSpec, first_port: int = 0) -> Fleet:
    """A fleet that is not started."""
    make_private_folder(home.daemon)
    trust = Trust(create_authority(datetime.now(UTC), "CA"), "pem")
    listening = Listening("127.0.0.1", "127.0.0.1", first_port)

    async def inside_a_loop() -> Fleet:
        return build_fleet(home, specs, listening, trust, LocalLauncher())

    return asyncio.run(inside_a_loop())


def test_ids_stay_with_place_and_type(tmp_path: Path) -> None:
    """Also when accelerators are left out for a while."""
    path = tmp_path / "accelerators.json"
    first = remembered_ids(path, [HOST, LARGE])
    assert remembered_ids(path, [HOST]) == first[:1]
    assert remembered_ids(path, [LARGE, HOST])[0] not in first
    assert remembered_ids(path, [HOST, LARGE]) == first
    assert all(re.fullmatch("eia-[0-9a-f]{32}", one) for one in first)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}[",
        "[1]",
        '[{"position": 0, "type": "host"}]',
        '[{"position": 0, "type": "host", "id": "../../etc"}]',
        '[{"position": "0", "type": "host", "id": "eia-' + 32 * "0" + '"}]',
        json.dumps([{"position": n, "type": "host", "id": "eia-" + 32 * "0"} for n in (0, 1)]),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str) -> None:
    """Ids name folders, so a strange one must not get through."""
    path = tmp_path / "accelerators.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError):
        remembered_ids(path, [HOST])


def test_select(tmp_path: Path) -> None:
    """By id, by ordinal, or all."""
    fleet = build(Home(tmp_path), HOST, LARGE)
    first, second = fleet.accelerators
    assert fleet.select(None) == (first, second)
    assert fleet.select(1) == (second,)
    assert fleet.select(first.id) == (first,)


@pytest.mark.parametrize("selector", [2, -1, "eia-0", "0", ""])
def test_select_what_is_not_there(tmp_path: Path, selector: str | int) -> None:
    """It is said that there is none."""
    with pytest.raises(ConfigurationError) as caught:
        build(Home(tmp_path), HOST, LARGE).select(selector)
    assert caught.value.reason == "ACCELERATOR_NOT_FOUND"


def test_ports_follow_the_control_port(tmp_path: Path) -> None:
    """The first accelerator has the given port, the next ones those above."""
    fleet = build(Home(tmp_path), HOST, LARGE, first_port=20_001)
    assert [one.endpoint for one in fleet.accelerators] == ["127.0.0.1:20001", "127.0.0.1:20002"]


def test_ports_run_out(tmp_path: Path) -> None:
    """Said at start, instead of failing one by one."""
    with pytest.raises(ConfigurationError, match="65535"):
        build(Home(tmp_path), HOST, LARGE, first_port=65_535)
