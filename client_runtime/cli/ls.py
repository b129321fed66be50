"""`accel ls`: which accelerators there are, and where they were found."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from accel_protocol.errors import AcceleratorError
from client_runtime.cli.failures import as_fields
from client_runtime.cli.quantities import bytes_text
from client_runtime.discovery.credentials import find_credentials
from client_runtime.discovery.endpoints import look, nothing_found
from client_runtime.discovery.listing import Accelerator, list_accelerators
from client_runtime.discovery.trail import Trail, printable

_HEADINGS = (
    *("ORDINAL", "ID", "TYPE", "MEMORY", "TFLOPS", "STATUS", "SANDBOX"),
    *("ENDPOINT", "FOUND BY"),
)


@click.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")
def command(as_json: bool) -> None:
    """List the accelerators that programs here would use, and how they are found.

    Exits with 1 when there are none; what was tried is said either way.
    """
    trail: Trail = ()
    try:
        endpoint, trail = look()
        if endpoint is None:
            raise nothing_found(trail)
        found = list_accelerators(endpoint, find_credentials(endpoint))
    except AcceleratorError as error:
        if not as_json:
            raise
        click.echo(as_document((), trail, error))
        sys.exit(1)
    if as_json:
        click.echo(as_document(found, trail, None))
    else:
        click.echo(f"{as_table(found)}\n\n{as_lines(trail)}")
    sys.exit(0 if found else 1)


def as_table(found: Sequence[Accelerator]) -> str:
    """The accelerators in columns."""
    rows = [
        (
            str(one.ordinal),
            one.id,
            one.type,
            "" if one.memory_bytes is None else bytes_text(one.memory_bytes),
            _throughput(one),
            one.status,
            # The level; the whole of it is in the JSON.
            (one.sandbox or "-").partition(" ")[0],
            one.endpoint or one.control,
            one.source,
        )
        for one in found
    ]
    cells = [_HEADINGS, *(tuple(printable(cell, 120) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    return "\n".join(lines)


def _throughput(one: Accelerator) -> str:
    """Of 32-bit and of 16-bit floats, and whether runs are held to it; empty for `host`."""
    if one.tera_flops_32 is None:
        return ""
    return f"{one.tera_flops_32}/{one.tera_flops_16}{' paced' if one.paced else ''}"


def as_lines(trail: Trail) -> str:
    """The trail, one source a line."""
    return "\n".join(f"{step.source}: {step.outcome}" for step in trail)


def as_document(found: Sequence[Accelerator], trail: Trail, error: AcceleratorError | None) -> str:
    """Everything as JSON; `error` is null, or what a program needs to tell why there are none."""
    document = {
        "accelerators": [asdict(one) for one in found],
        "trail": [asdict(step) for step in trail],
        "error": error and as_fields(error),
    }
    return json.dumps(document, indent=2)
