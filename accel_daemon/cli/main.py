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

from accel_daemon.cli import certificate
from accel_daemon.cli.faults import fault
from accel_daemon.cli.groups_and_roles import group, role
from accel_daemon.cli.policies import policy
from accel_daemon.cli.stored_identities import (
    POLICY_FILE,
    change,
    json_option,
    read_policy_or_none,
)
from accel_daemon.cli.users import key, user
from accel_daemon.control.metadata.options import (
    DEFAULT_ROLE,
    MAX_HOPS,
    OWN_USER,
    TOKENS,
    TOKENS_OPTIONAL,
    USERS,
    MetadataOptions,
)
from accel_daemon.control.status_client import fetch_status
from accel_daemon.home import Home
from accel_daemon.iam.principals import new_access_key
from accel_daemon.invitations import (
    is_loopback,
    read_daemons_address,
    read_fingerprint,
    with_invited,
)
from accel_daemon.sandbox.enter import default_level
from accel_daemon.sandbox.levels import Level
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec, parse_accelerator
from accel_daemon.supervisor.allowed_ops import parse_allowed_ops
from accel_daemon.supervisor.daemon import DaemonOptions, run_daemon
from accel_daemon.version import VERSION
from accel_protocol.accelerator_types import TYPES
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
    "--metadata-role",
    metavar="NAME|none",
    default=DEFAULT_ROLE,
    show_default=True,
    help="Role whose temporary credentials metadata offers, as an instance's and as a task's role. "
    "none: offers no credentials.",
)
@click.option(
    "--metadata-users",
    type=click.Choice(USERS),
    default=OWN_USER,
    show_default=True,
    help="Whose processes get the role's credentials. own: those of the user who runs the daemon, "
    "and root's; where the system does not tell whose a connection is, nobody's. all: those of "
    "every user of this machine.",
)
@click.option(
    "--metadata-tokens",
    type=click.Choice(TOKENS),
    default=TOKENS_OPTIONAL,
    show_default=True,
    help="Whether requests for instance metadata must show a session token. optional: versions 1 "
    "and 2 of the service. required: version 2 only.",
)
@click.option(
    "--metadata-hop-limit",
    type=click.IntRange(1, MAX_HOPS),
    default=1,
    show_default=True,
    help="Time to live of the packets that answer requests for metadata. 1: they pass no router; "
    "a container behind one needs 2.",
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
    metavar="TYPE[,engine=E][,python=PATH][,pace=on][,memory=SIZE]"
    "[,compile=off][,batching=off][,precision=bf16][,lanes=off]",
    help=f"An accelerator to offer; may be repeated. TYPE is one of {', '.join(TYPES)}. "
    "With pace=on its runs take as long as the type's published throughput would have them. "
    "memory=SIZE, as 4GiB, bounds what one of type host may take. compile=off leaves its graphs to "
    "TensorFlow as they are, batching=off never answers several calls of a graph together, "
    "precision=bf16 or f16 lets compiled graphs be less exact where that is faster, and "
    "lanes=off lets clients call by gRPC only. "
    "Default: one of type host.",
)
@click.option(
    "--sandbox",
    type=click.Choice([level.value for level in Level]),
    default=None,
    help="How accelerators are confined. strict: by all layers, or not started. best-effort: by "
    "those that this host has. off: by none. Default: strict where it can be had, else "
    "best-effort.",
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
    "--load-timeout",
    type=click.FloatRange(1, 86_400),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="How long an accelerator may load a model; then its process is ended and started again.",
)
@click.option(
    "--run-timeout",
    type=click.FloatRange(1, 86_400),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long one run may take, whatever its client allows.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Gets JSON with all addresses when everything accepts requests.",
)
@click.option(
    "--allow-faults",
    is_flag=True,
    help="Take faults on demand (`accel-daemon fault`). For tests only, never in production.",
)
def up(
    host: str,
    port: int,
    metadata_port: int,
    metrics_port: int | None,
    accelerators: tuple[str, ...],
    sandbox: str | None,
    allowed_ops: tuple[str, ...],
    load_timeout: float,
    run_timeout: float,
    ready_file: Path | None,
    allow_faults: bool,
    **metadata: Any,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C.

    With no options it just works: it makes a certificate authority and an administrator's key, and
    writes the profile with which clients on this machine connect.
    """
    specs = tuple(parse_accelerator(text) for text in accelerators) or (AcceleratorSpec(),)
    allowed = parse_allowed_ops(allowed_ops)
    chosen: dict[str, Any] = {
        "allowed_ops": allowed,
        "load_seconds": load_timeout,
        "run_seconds": run_timeout,
    }
    specs = tuple(replace(spec, **chosen) for spec in specs)
    options = DaemonOptions(
        home=_home(),
        host=host,
        port=port,
        metadata_port=metadata_port,
        metadata=_metadata_options(**metadata),
        metrics_port=metrics_port,
        accelerators=specs,
        ready_file=ready_file.absolute() if ready_file else None,
        sandbox=Level(sandbox) if sandbox else default_level(),
        allow_faults=allow_faults,
    )
    _log_to_stderr()
    asyncio.run(run_daemon(options))


for group_of_commands in (policy, user, key, group, role, fault):
    cli.add_command(group_of_commands)
cli.add_command(certificate.command)


@cli.command()
@click.argument("name")
@click.option(
    "--policy",
    "policy_file",
    type=POLICY_FILE,
    help="A file with an IAM policy document (JSON) for a new user. "
    "Default: Connect to all accelerators, and list them.",
)
@json_option()
def invite(name: str, policy_file: Path | None, as_json: bool) -> None:
    """Print a URI with which the user NAME attaches another machine to this daemon.

    A user who is not there yet is added; one who is gets one more key. The URI holds the key's
    secret and is never shown again: give it to one person, over a channel that you trust.
    """
    home = _home()
    address, region = read_daemons_address(home.client_profile)
    pin = read_fingerprint(home.ca_file)
    document = read_policy_or_none(policy_file)
    made = new_access_key(datetime.now(UTC).isoformat())
    change(lambda identities: with_invited(identities, name, document, made))
    signer = AccessKey(made.access_key_id, made.secret_access_key)
    uri = Invitation(signer, address, pin, region).to_uri()
    answer = {"user": name, "access_key_id": made.access_key_id, "uri": uri}
    click.echo(json.dumps(answer, indent=2) if as_json else uri)
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


def _metadata_options(
    metadata_role: str, metadata_users: str, metadata_tokens: str, metadata_hop_limit: int
) -> MetadataOptions:
    return MetadataOptions(metadata_role, metadata_users, metadata_tokens, metadata_hop_limit)


def _home() -> Home:
    return Home.from_environment(os.environ)


def _status_line(row: Mapping[str, Any]) -> str:
    tenant = row["principal"] or "free"
    return (
        f"{row['ordinal']}  {row['id']}  {row['type']}  {row['state']}  {row['endpoint']}  "
        f"restarts {row['restarts']}  {tenant}  sandbox {row['sandbox'] or '-'}"
    )


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
