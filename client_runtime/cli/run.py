"""`accel run`: a script written for TensorFlow 1 and Elastic Inference, unchanged."""

from __future__ import annotations

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="",
)
@click.argument(
    "words", nargs=-1, type=click.UNPROCESSED, required=True, metavar="[--] SCRIPT [ARGS]..."
)
def command(words: tuple[str, ...]) -> None:
    """Run SCRIPT with TensorFlow 1's names and tensorflow.contrib.ei.

    With "-m MODULE" instead of SCRIPT, runs a module as `python -m` does. ARGS are the script's
    own, and so are its output, its tracebacks and its exit status.
    """
    from client_runtime.compat import contrib, numpy_names, script, tensorflow1

    as_module = words[0] == "-m"
    if words[0].startswith("-") and not as_module:
        raise click.NoSuchOption(words[0])
    if as_module and len(words) == 1:
        raise click.UsageError("-m needs the name of a module.")
    tensorflow1.install()
    contrib.install()
    numpy_names.restore()
    if as_module:
        script.run_module(words[1], words[2:])
        return
    try:
        script.run_file(words[0], words[1:])
    except OSError as error:
        # Only reading the script raises this: what the script raises never gets here.
        raise click.UsageError(f"cannot open {words[0]!r}: {error.strerror}.") from error
