"""`accel serve`: TensorFlow Serving's model server, whose models run on an accelerator."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    options_metavar="[FLAGS]...",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="")
def command(words: tuple[str, ...]) -> None:
    """Serve models as tensorflow_model_server does, on an accelerator.

    FLAGS are those of tensorflow_model_server, `--name=value`, and some of our own; "--help" lists
    them.
    """
    from client_runtime.serving.main import main

    main("accel serve", words)
