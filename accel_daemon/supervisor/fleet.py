"""All accelerators of this daemon: which there are, and which one a caller means.

An accelerator keeps its id, and with it its store, over restarts of the daemon: ids are remembered
by place and type in `$ACCEL_HOME/daemon/accelerators.json`.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accel_daemon.faults.board import FaultBoard
from accel_daemon.home import Home, make_private_folder, write_private_file
from accel_daemon.sandbox.levels import Level
from accel_daemon.supervisor.accelerator_process import AcceleratorProcess
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec
from accel_daemon.supervisor.launcher import Launcher
from accel_daemon.supervisor.placement import Placement, Trust
from accel_protocol.errors import ConfigurationError

Selector = str | int | None

_ACCELERATOR_ID = re.compile(r"eia-[0-9a-f]{32}")
_Place = tuple[int, str]


@dataclass(frozen=True)
class Fleet:
    """The accelerators, by ordinal."""

    accelerators: tuple[AcceleratorProcess, ...]

    def start(self) -> None:
        """Start all processes."""
        for accelerator in self.accelerators:
            accelerator.start()

    async def wait_ready(self) -> None:
        """Wait until all accept requests; ConfigurationError as soon as one cannot start."""
        await asyncio.gather(*(one.wait_ready() for one in self.accelerators))

    def select(self, selector: Selector) -> tuple[AcceleratorProcess, ...]:
        """The accelerators a caller means: all for None, else the one with this ordinal or id.

        Raises:
            ConfigurationError: there is none (ACCELERATOR_NOT_FOUND).
        """
        if selector is None:
            return self.accelerators
        for accelerator in self.accelerators:
            if selector in (accelerator.placement.ordinal, accelerator.id):
                return (accelerator,)
        raise ConfigurationError(
            f"There is no accelerator {str(selector)[:40]!r}.", reason="ACCELERATOR_NOT_FOUND"
        )

    async def revoke(self, access_key_ids: Iterable[str], principals: Iterable[str]) -> None:
        """End the tickets of these keys and principals everywhere."""
        keys, names = tuple(access_key_ids), tuple(principals)
        await asyncio.gather(*(one.revoke(keys, names) for one in self.accelerators))

    async def tell_faults(self) -> None:
        """Tell all processes which faults hold now."""
        await asyncio.gather(*(one.tell_faults() for one in self.accelerators))

    async def renew_certificates(self, *, at_once: bool = False) -> None:
        """Give all processes other certificates: those whose own are old, or all at once."""
        await asyncio.gather(*(one.renew_certificate(at_once=at_once) for one in self.accelerators))

    async def drain(self, seconds: float) -> None:
        """End all processes, at the same time."""
        await asyncio.gather(*(one.drain(seconds) for one in self.accelerators))


@dataclass(frozen=True)
class Listening:
    """Where a fleet listens: the accelerator with ordinal 0 on `first_port`, the next one above.

    `first_port` 0 lets the system choose all ports.
    """

    host: str
    advertised_host: str
    first_port: int


def build_fleet(
    home: Home,
    specs: Sequence[AcceleratorSpec],
    listening: Listening,
    trust: Trust,
    launcher: Launcher,
    faults: FaultBoard | None = None,
    sandbox: Level = Level.STRICT,
) -> Fleet:
    """A fleet that is not started yet; makes the accelerators' folders.

    Raises:
        ConfigurationError: ports run out, or files of the home cannot be used.
    """
    if listening.first_port and listening.first_port + 2 * len(specs) - 1 > 65_535:
        raise ConfigurationError(
            f"{len(specs)} accelerators need ports up to above 65535.", remedy="Use a lower --port."
        )
    ids = remembered_ids(home.accelerators, specs)
    accelerators = []
    for ordinal, (accelerator_id, spec) in enumerate(zip(ids, specs, strict=True)):
        folders = home.folders_of(accelerator_id)
        make_private_folder(folders.store)
        make_private_folder(folders.scratch)
        placement = Placement(
            accelerator_id=accelerator_id,
            ordinal=ordinal,
            spec=spec,
            folders=folders,
            listen_host=listening.host,
            advertised_host=listening.advertised_host,
            port=listening.first_port + ordinal if listening.first_port else 0,
            lane_port=listening.first_port + len(specs) + ordinal if listening.first_port else 0,
            sandbox=sandbox,
        )
        accelerators.append(AcceleratorProcess(placement, trust, launcher, faults=faults))
    return Fleet(tuple(accelerators))


def remembered_ids(path: Path, specs: Sequence[AcceleratorSpec]) -> list[str]:
    """The id of each accelerator, from the file or new; the file then holds them all.

    Ids of places and types that are not wanted this time stay in the file: their stores are there.

    Raises:
        ConfigurationError: the file is malformed, or cannot be read or written.
    """
    known = dict(_load(path))
    ids = []
    for place in ((ordinal, spec.type) for ordinal, spec in enumerate(specs)):
        known.setdefault(place, f"eia-{secrets.token_hex(16)}")
        ids.append(known[place])
    rows = [{"position": at, "type": kind, "id": known[at, kind]} for at, kind in sorted(known)]
    write_private_file(path, (json.dumps(rows, indent=2) + "\n").encode())
    return ids


def _load(path: Path) -> Mapping[_Place, str]:
    try:
        rows = json.loads(path.read_bytes())
        known = {(row["position"], row["type"]): row["id"] for row in rows}
        if not all(_is_row(place, value) for place, value in known.items()):
            raise ValueError
        if len(set(known.values())) != len(rows):
            raise ValueError
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigurationError(
            f"{path} does not hold the accelerators' ids.",
            remedy="Restore it from a backup, or remove it; accelerators then get new ids.",
        ) from None
    return known


def _is_row(place: tuple[object, object], value: object) -> bool:
    return (
        isinstance(place[0], int)
        and isinstance(place[1], str)
        and isinstance(value, str)
        and _ACCELERATOR_ID.fullmatch(value) is not None
    )
