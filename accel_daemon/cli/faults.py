"""`accel-daemon fault`: inject faults into a running daemon that allows them, list, clear them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from accel_daemon.control.status_client import call_daemon
from accel_daemon.faults.fault import Kind, parse_fault
from accel_daemon.home import Home
from accel_protocol.errors import ConfigurationError


@click.group()
def fault() -> None:
    """Make a daemon fail on demand, to test what your program does then.

    The daemon must have been started with `accel-daemon up --allow-faults`.
    """


@fault.command("inject")
@click.argument("kind", type=click.Choice([kind.value for kind in Kind]))
@click.option("--accelerator", metavar="ID|ORDINAL", help="Where. Default: all accelerators.")
@click.option("--probability", type=float, help="Of striking each time, 0 to 1. Default: 1.")
@click.option("--count", type=int, help="It is over after so many times.")
@click.option("--seconds", type=float, help="It is over after so long.")
@click.option("--seed", type=int, help="Of all chance: the same seed, the same faults. Default: 0.")
@click.option("--latency-ms", type=float, help="slow: added to each message.")
@click.option("--jitter-ms", type=float, help="slow: up to so much more, by chance.")
@click.option("--bytes-per-second", type=int, help="slow: of all messages together.")
@click.option("--messages", type=int, help="drop: cut a stream after so many messages.")
@click.option("--when", metavar="before|after", help="drop: the work is done. Default: before.")
@click.option(
    "--at",
    metavar="accelerator|control|both",
    help="expired-credentials: who refuses them. Default: the accelerator.",
)
@click.option("--bytes", type=int, help="memory-pressure: what is left for graphs.")
@click.option("--offset-seconds", type=float, help="clock-skew: ahead by so much; < 0: behind.")
def inject(kind: str, accelerator: str | None, **settings: object) -> None:
    """Inject a fault of KIND and print its id."""
    given = {name: value for name, value in settings.items() if value is not None}
    if accelerator is not None:
        given["accelerator"] = int(accelerator) if accelerator.isdecimal() else accelerator
    document = parse_fault({"kind": kind, **given}).to_document()
    answer = _call("POST", "/faults", document)
    click.echo(answer["fault"]["id"])


@fault.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
def list_faults(as_json: bool) -> None:
    """Show the faults whose time is not over."""
    rows = _call("GET", "/faults")["faults"]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        where = row["acceleratorId"] or "all accelerators"
        click.echo(f"{row['id']}  {row['text']}  {where}  happened {row['happened']}")


@fault.command("clear")
@click.argument("fault_id", metavar="[ID]", required=False)
def clear(fault_id: str | None) -> None:
    """End the fault ID, or all faults."""
    path = "/faults" if fault_id is None else f"/faults/{quote(fault_id, safe='')}"
    cleared = _call("DELETE", path)["cleared"]
    if fault_id is not None and not cleared:
        raise ConfigurationError(
            f"There is no fault {fault_id[:40]!r}.", remedy="`accel-daemon fault list` shows them."
        )
    click.echo(f"Cleared {len(cleared)}.")


def _call(method: str, path: str, body: Mapping[str, object] | None = None) -> Mapping[str, Any]:
    profile = Home.from_environment(os.environ).client_profile
    return call_daemon(profile, method, path, b"" if body is None else json.dumps(body).encode())
