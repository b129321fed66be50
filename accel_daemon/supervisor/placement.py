"""What an accelerator is before it has a process: which one, where, and whose word it takes."""

from __future__ import annotations

from dataclasses import dataclass, field

from accel_daemon.clock import Clock
from accel_daemon.home import AcceleratorFolders
from accel_daemon.pki.authority import Authority
from accel_daemon.sandbox.levels import Level
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec


@dataclass(frozen=True)
class Placement:
    """Which accelerator it is, and where it listens.

    Attributes:
        accelerator_id: "eia-" and 32 hexadecimal digits.
        ordinal: its place on this daemon, from 0.
        spec: type, engine and interpreter.
        folders: its store and its scratch folder.
        listen_host: address to listen on.
        advertised_host: host that clients are told.
        port: where to listen; 0 lets the system choose once.
        lane_port: where lanes do; 0 lets the system choose.
        sandbox: what its process has to be confined by.
    """

    accelerator_id: str
    ordinal: int
    spec: AcceleratorSpec
    folders: AcceleratorFolders
    listen_host: str
    advertised_host: str
    port: int = 0
    lane_port: int = 0
    sandbox: Level = Level.STRICT


@dataclass(frozen=True)
class Trust:
    """What every accelerator's process gets its identity, its trust and its time from."""

    authority: Authority = field(repr=False)
    ticket_public_key_pem: str
    clock: Clock = field(default_factory=Clock.start)
