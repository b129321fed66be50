"""`accel predict`: one inference from the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from accel_protocol.errors import FeedError, GraphError
from client_runtime.cli import outputs as outputs_
from client_runtime.cli.failures import told_as_messages
from client_runtime.cli.inputs import read_inputs
from client_runtime.cli.model_options import ModelChoice, model_options
from client_runtime.cli.quantities import bytes_text, seconds_text, shape_text
from client_runtime.predictor import EIPredictor
from client_runtime.transport.exchange import CallTiming

_STANDARD_OUTPUT = "-"
_EXAMPLES = """\b
Examples:
  accel predict detector/1 --input inputs=@page.png
  accel predict detector/1 --input @page.png --output found.npz
  accel predict model --signature shout --input text='"hello"' --json
  accel predict model --input-name x=x:0 --output-name y=y:0 --input x=@x.npy
"""


def _check_output(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value in (None, _STANDARD_OUTPUT) or value.lower().endswith(outputs_.FILE_SUFFIXES):
        return value
    raise click.BadParameter(f"{value!r} ends with neither .npz nor .json, and is not '-'.")


@click.command("predict", epilog=_EXAMPLES)
@model_options("MODEL")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=@FILE",
    help="A feed: @x.npy, @x.npz:KEY, @x.json, @x.png, @x.jpg, @- (JSON on standard input), or "
    "JSON itself. NAME= may be left out when the model has one feed. May be repeated.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up, and stop the work, when there is no answer after so long. Sending the model "
    "counts, but is not interrupted.",
)
@click.option(
    "--output",
    metavar="FILE",
    callback=_check_output,
    help="Write the outputs to FILE.npz or FILE.json; - is JSON on standard output.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outputs as JSON.")
def command(
    choice: ModelChoice,
    inputs: tuple[str, ...],
    timeout: float | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Run MODEL, a SavedModel directory, once on an accelerator, and print what it answers.

    The model is sent when the accelerator lacks it. Pictures are fed as uint8, [1, height, width,
    3] or [height, width, 3] as the feed wants, and need Pillow. In JSON, {"b64": "…"} stands for
    bytes, in inputs as in outputs.
    """
    with told_as_messages(), choice.open() as predictor:
        with _feeds_listed(predictor, inputs):
            feeds = read_inputs(inputs, predictor.feed_tensors, _read_standard_input)
            outputs = predictor(feeds, timeout=timeout)
        if output not in (None, _STANDARD_OUTPUT):
            outputs_.write(outputs, Path(str(output)))
        if as_json or output == _STANDARD_OUTPUT:
            click.echo(outputs_.as_json(outputs))
            return
        click.echo(_report(outputs, output, predictor))


def _read_standard_input() -> bytes:
    return sys.stdin.buffer.read()


@contextmanager
def _feeds_listed(predictor: EIPredictor, inputs: tuple[str, ...]) -> Iterator[None]:
    """Add the model's feeds to the remedy when what was fed, or not fed, is at fault."""
    try:
        yield
    except (FeedError, GraphError) as error:
        feeds = predictor.feed_tensors
        if len(inputs) < len(feeds) or isinstance(error, FeedError):
            listed = [f"{name} {shape_text(info)}" for name, info in feeds.items()]
            error.remedy += f"\n  Feeds of the model: {'; '.join(listed) or 'none'}."
        raise


def _report(outputs: Mapping[str, Any], output: str | None, predictor: EIPredictor) -> str:
    lines = [outputs_.summary(outputs)]
    if predictor.last_timing is not None:
        lines.append(f"\n{_time_text(predictor.last_timing)}")
    if predictor.uploaded_bytes:
        lines.append(f"{bytes_text(predictor.uploaded_bytes)} of the model were sent first")
    if output is not None:
        lines.append(f"written to {output}")
    return "\n".join(lines)


def _time_text(timing: CallTiming) -> str:
    parts = [("compute", timing.compute), ("wire", timing.wire), ("queue", timing.queue)]
    text = ", ".join(f"{name} {seconds_text(seconds)}" for name, seconds in parts)
    return f"{seconds_text(timing.total)} in all: {text}"
