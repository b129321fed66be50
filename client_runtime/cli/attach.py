"""`accel attach`: use another machine's daemon from now on."""

from __future__ import annotations

import json
import sys

import click

from accel_protocol.errors import AcceleratorError, ConfigurationError
from accel_protocol.invitation import MAX_CHARACTERS, Invitation
from client_runtime.cli.failures import as_fields
from client_runtime.discovery.attaching import Outcome, attach
from client_runtime.discovery.profile import remove_attached


@click.command("attach")
@click.argument("uri", required=False)
@click.option("--detach", is_flag=True, help="Forget the attached daemon instead.")
@click.option("--json", "as_json", is_flag=True, help="Print what is attached, as JSON.")
def command(uri: str | None, detach: bool, as_json: bool) -> None:
    """Use the daemon that URI invites to, from all programs of this account.

    URI is what `accel-daemon invite NAME` printed. It holds a secret, which other users of this
    machine could see among its processes and which the shell would remember: without URI, or with
    -, it is read from standard input.
    """
    if detach and uri is not None:
        raise click.UsageError("--detach takes no URI.")
    outcome = None
    try:
        if detach:
            _detach()
        else:
            outcome = _attach(uri)
    except AcceleratorError as error:
        if not as_json:
            raise
        click.echo(as_document(None, error))
        sys.exit(1)
    click.echo(as_document(outcome, None) if as_json else as_text(outcome))


def as_text(outcome: Outcome | None) -> str:
    """One sentence; None is an outcome after which nothing is attached."""
    if outcome is None:
        return "Detached."
    many = "" if outcome.accelerators is None else f", which offers {outcome.accelerators}"
    return f"Attached to {outcome.profile.control}{many}. Kept in {outcome.path}."


def as_document(outcome: Outcome | None, error: AcceleratorError | None) -> str:
    """What is attached as JSON, without the secret; all null but `error` when nothing is."""
    document: dict[str, object] = dict.fromkeys(
        ("control", "region", "access_key_id", "accelerators", "path", "error")
    )
    if outcome is not None:
        profile = outcome.profile
        document |= {"control": profile.control, "region": profile.region}
        document |= {"access_key_id": profile.access_key_id, "path": str(outcome.path)}
        document["accelerators"] = outcome.accelerators
    if error is not None:
        document["error"] = as_fields(error)
    return json.dumps(document, indent=2)


def _attach(uri: str | None) -> Outcome:
    return attach(Invitation.from_uri(_read() if uri in (None, "-") else str(uri)))


def _detach() -> None:
    if not remove_attached():
        raise ConfigurationError("Nothing is attached.", remedy="There is nothing to do.")


def _read() -> str:
    if sys.stdin.isatty():
        text: str = click.prompt("URI", hide_input=True, err=True)
        return text
    # One more than may be: what is longer is refused, not cut.
    return sys.stdin.read(MAX_CHARACTERS + 2)
