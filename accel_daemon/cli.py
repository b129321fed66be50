"""`accel-daemon`: starts the daemon and manages who may use it. Reads options, prints answers."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.control.status_client import fetch_status
from accel_daemon.home import Home, make_private_folder
from accel_daemon.iam.policy import load_document, parse_policy
from accel_daemon.iam.principals import Identities, Key, User, new_access_key
from accel_daemon.invitations import (
    is_loopback,
    read_daemons_address,
    read_fingerprint,
    with_invited,
)
from accel_daemon.policy_cli import policy, read_policy_text
from accel_daemon.supervisor.accelerator_spec import TYPES, AcceleratorSpec, parse_accelerator
from accel_daemon.supervisor.allowed_ops import parse_allowed_ops
from accel_daemon.supervisor.daemon import DaemonOptions, run_daemon
from accel_daemon.version import VERSION
from accel_protocol.errors import AcceleratorError
from accel_protocol.invitation import Invitation
from accel_protocol.sigv4 import AccessKey

_PORT = click.IntRange(0, 65_535)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="accel-daemon")
def cli() -> None:
    """Offer this machine's accelerators over the network, safely.

    Everything is kept in $ACCEL_HOME (default ~/.accel).
    """


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=_PORT,
    default=9443,
    show_default=True,
    help="Port of the control endpoint; accelerators get the ports above it. 0: any free ports.",
)
@click.option(
    "--metadata-port",
    type=_PORT,
    default=0,
    show_default=True,
    help="Port of the instance metadata emulation on 127.0.0.1. 0: any free port.",
)
@click.option(
    "--metrics-port",
    type=_PORT,
    default=None,
    help="Port of a plain listener for Prometheus on 127.0.0.1, open to every user of this "
    "machine. 0: any free port. Default: none.",
)
@click.option(
    "--accelerator",
    "accelerators",
    multiple=True,
    metavar="TYPE[,engine=E][,python=PATH]",
    help=f"An accelerator to offer; may be repeated. TYPE is one of {', '.join(TYPES)}. "
    "Default: one of type host.",
)
@click.option(
    "--allow-op",
    "allowed_ops",
    multiple=True,
    metavar="OP=REASON",
    help="An op that models may use beside those that are always admitted, and why; may be "
    "repeated. See docs/admission.md.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Gets JSON with all addresses when everything accepts requests.",
)
def up(
    host: str,
    port: int,
    metadata_port: int,
    metrics_port: int | None,
    accelerators: tuple[str, ...],
    allowed_ops: tuple[str, ...],
    ready_file: Path | None,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    With no options it just works: it makes a certificate authority and an administrator's key, and
    writes the profile with which clients on this machine connect.
    """
    specs = tuple(parse_accelerator(text) for text in accelerators) or (AcceleratorSpec(),)
    allowed = parse_allowed_ops(allowed_ops)
    specs = tuple(replace(spec, allowed_ops=allowed) for spec in specs)
    options = DaemonOptions(
        home=_home(),
        host=host,
        port=port,
        metadata_port=metadata_port,
        metrics_port=metrics_port,
        accelerators=specs,
        ready_file=ready_file.absolute() if ready_file else None,
    )
    _log_to_stderr()
    asyncio.run(run_daemon(options))


cli.add_command(policy)


@cli.group()
def user() -> None:
    """Add, list and remove users."""


@user.command("add")
@click.argument("name")
@click.option(
    "--policy",
    "policy_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with an IAM policy document (JSON).",
)
def user_add(name: str, policy_file: Path) -> None:
    """Add the user NAME and print its access key; the secret is never shown again."""
    document = _read_policy(policy_file)
    key = new_access_key(datetime.now(UTC).isoformat())
    _store().update(lambda identities: identities.with_user(User(name, (document,), (key,))))
    _print_key(key)


@user.command("list")
def user_list() -> None:
    """List users and the ids of their keys."""
    for one in _store().load().users:
        keys = ", ".join(key.access_key_id for key in one.keys) or "no keys"
        click.echo(f"{one.name}\t{keys}")


@user.command("remove")
@click.argument("name")
def user_remove(name: str) -> None:
    """Remove the user NAME; a running daemon ends its sessions within two seconds."""
    _store().update(lambda identities: identities.without_user(name))
    click.echo(f"Removed user {name}.")


@cli.group()
def key() -> None:
    """Revoke access keys."""


@key.command("revoke")
@click.argument("access_key_id", metavar="AKID")
def key_revoke(access_key_id: str) -> None:
    """Revoke the access key AKID; a running daemon ends its sessions within two seconds."""

    def without_key(identities: Identities) -> Identities:
        return identities.without_key(access_key_id)

    _store().update(without_key)
    click.echo(f"Revoked key {access_key_id}.")


@cli.command()
@click.argument("name")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with an IAM policy document (JSON) for a new user. "
    "Default: Connect to all accelerators, and list them.",
)
def invite(name: str, policy_file: Path | None) -> None:
    """Print a URI with which the user NAME attaches another machine to this daemon.

    A user who is not there yet is added; one who is gets one more key. The URI holds the key's
    secret and is never shown again: give it to one person, over a channel that you trust.
    """
    home = _home()
    address, region = read_daemons_address(home.client_profile)
    pin = read_fingerprint(home.ca_file)
    document = None if policy_file is None else _read_policy(policy_file)
    key = new_access_key(datetime.now(UTC).isoformat())
    _store().update(lambda identities: with_invited(identities, name, document, key))
    signer = AccessKey(key.access_key_id, key.secret_access_key)
    click.echo(Invitation(signer, address, pin, region).to_uri())
    if is_loopback(address):
        click.echo(
            f"Note: the daemon listens on {address} only, which other machines cannot reach. "
            "Start `accel-daemon up --host` with a name or address of this machine.",
            err=True,
        )


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
def status(as_json: bool) -> None:
    """Show the running daemon's accelerators."""
    answer = fetch_status(_home().client_profile)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for row in answer["accelerators"]:
        click.echo(_status_line(row))


def main() -> None:
    """Run the command line; an error is its message and its remedy, and exit status 1."""
    try:
        cli(prog_name="accel-daemon")
    except AcceleratorError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}: {error.filename or ''}", err=True)
        sys.exit(1)


def _home() -> Home:
    return Home.from_environment(os.environ)


def _store() -> IdentityStore:
    home = _home()
    make_private_folder(home.daemon)
    return IdentityStore(home.identities)


def _read_policy(path: Path) -> Mapping[str, object]:
    document = load_document(read_policy_text(path))
    parse_policy(document)
    return document


def _print_key(access_key: Key) -> None:
    click.echo(f"access_key_id: {access_key.access_key_id}")
    click.echo(f"secret_access_key: {access_key.secret_access_key}")


def _status_line(row: Mapping[str, Any]) -> str:
    tenant = row["principal"] or "free"
    return (
        f"{row['ordinal']}  {row['id']}  {row['type']}  {row['state']}  {row['endpoint']}  "
        f"restarts {row['restarts']}  {tenant}"
    )


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
