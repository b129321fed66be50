"""`accel`: what a person does with accelerators from a terminal."""

from __future__ import annotations

import importlib
import sys

import click

from accel_protocol.errors import AcceleratorError

# Name to module; a module is imported only when its command is used, so that none slows the others.
COMMANDS = {
    "attach": "client_runtime.cli.attach",
    "bench": "client_runtime.cli.bench",
    "completion": "client_runtime.cli.completion",
    "ls": "client_runtime.cli.ls",
    "predict": "client_runtime.cli.predict",
    "run": "client_runtime.cli.run",
    "serve": "client_runtime.cli.serve",
    "smi": "client_runtime.cli.smi",
}


class _Commands(click.Group):
    """A group that finds its commands in `COMMANDS`; each module has one called `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click.Group."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click.Group."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name]).command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="elastic-accelerator", prog_name="accel")
def cli() -> None:
    """Use accelerators over the network as if they were in this machine."""


def main() -> None:
    """Run the command line; an error is its message and its remedy, and exit status 1."""
    try:
        cli(prog_name="accel")
    except AcceleratorError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
