"""`accel attach`: use another machine's daemon from now on."""

from __future__ import annotations

import sys

import click

from accel_protocol.errors import ConfigurationError
from accel_protocol.invitation import MAX_CHARACTERS, Invitation
from client_runtime.discovery.attaching import attach
from client_runtime.discovery.profile import remove_attached


@click.command("attach")
@click.argument("uri", required=False)
@click.option("--detach", is_flag=True, help="Forget the attached daemon instead.")
def command(uri: str | None, detach: bool) -> None:
    """Use the daemon that URI invites to, from all programs of this account.

    URI is what `accel-daemon invite NAME` printed. It holds a secret, which other users of this
    machine could see among its processes and which the shell would remember: without URI, or with
    -, it is read from standard input.
    """
    if detach:
        _detach(uri)
        return
    outcome = attach(Invitation.from_uri(_read() if uri in (None, "-") else str(uri)))
    many = "" if outcome.accelerators is None else f", which offers {outcome.accelerators}"
    click.echo(f"Attached to {outcome.profile.control}{many}. Kept in {outcome.path}.")


def _detach(uri: str | None) -> None:
    if uri is not None:
        raise click.UsageError("--detach takes no URI.")
    if not remove_attached():
        raise ConfigurationError("Nothing is attached.", remedy="There is nothing to do.")
    click.echo("Detached.")


def _read() -> str:
    if sys.stdin.isatty():
        text: str = click.prompt("URI", hide_input=True, err=True)
        return text
    # One more than may be: what is longer is refused, not cut.
    return sys.stdin.read(MAX_CHARACTERS + 2)
