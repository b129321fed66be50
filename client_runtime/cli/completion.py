"""`accel completion`: what a shell needs to complete `accel`'s commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_ACCEL_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    For instance: eval "$(accel completion bash)"
    """
    # Imported here: the group imports this module.
    from client_runtime.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    click.echo(completion(cli, {}, "accel", _VARIABLE).source())
