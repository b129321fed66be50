"""`accel smi`: what the accelerators are doing, once or again and again.

Looking into an accelerator means connecting to it, and whoever connects becomes its tenant. So only
the accelerator that a program here would get is looked into, unless others are named.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import click

from accel_protocol.errors import AccessDeniedError, UnavailableError
from client_runtime import Accelerator, Attachment, accelerators, connect
from client_runtime.cli import activity_table
from client_runtime.cli.activity import Sample, between, read_sample
from client_runtime.cli.activity_table import Row, Unwatched
from client_runtime.cli.failures import told_as_messages
from client_runtime.cli.model_options import accelerator_name

_SECONDS = 2.0
_NEXT_SCREEN, _FORMER_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_EXAMPLES = """\b
Examples:
  accel smi
  accel smi --once
  accel smi --json --interval 1 --all
"""


@click.command("smi", epilog=_EXAMPLES)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    metavar="SECONDS",
    help="Look again after so long; 2 if not given. With --once or --json: look twice, so long "
    "apart, to tell runs a second.",
)
@click.option("--once", is_flag=True, help="Print once and end, as without a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print once, as JSON, times in ms.")
@click.option(
    "--accelerator",
    "names",
    multiple=True,
    metavar="ID|N",
    help="Look into this one; may be repeated. Without it: the one that a program would get.",
)
@click.option("--all", "every", is_flag=True, help="Look into every accelerator that is visible.")
def command(
    interval: float | None, once: bool, as_json: bool, names: tuple[str, ...], every: bool
) -> None:
    """Show the accelerators: memory, loaded graphs, runs, errors, and where runs spend their time.

    Looking into an accelerator takes it, as any use does, if no one else has it; it stays taken
    while this runs and for half a minute afterwards. Queue and compute are means over the runs
    since the last look. Ctrl-C ends it.
    """
    with told_as_messages(), contextlib.ExitStack() as stack:
        watch = _Watch(stack, names, every)
        if as_json or once or not sys.stdout.isatty():
            rows = watch.look()
            if interval is not None:
                time.sleep(interval)
                rows = watch.look()
            click.echo(activity_table.as_json(rows) if as_json else _page(rows))
            return
        with _screen(), contextlib.suppress(KeyboardInterrupt):
            while True:
                _draw(_page(watch.look()))
                time.sleep(interval or _SECONDS)


class _Watch:
    """The accelerators that are looked into, and the last look at each."""

    def __init__(self, stack: contextlib.ExitStack, names: Sequence[str], every: bool) -> None:
        self._listed = _listed()
        self._failed: list[Unwatched] = []
        self._watched: dict[str, tuple[Attachment, Any]] = {}
        self._last: dict[str, Sample] = {}
        wanted: list[int | str | None] = [accelerator_name(name) for name in names]
        if every:
            wanted = [one.id for one in self._listed]
        for name in wanted or [None]:
            self._open(stack, name, tolerant=every)

    def _open(self, stack: contextlib.ExitStack, name: int | str | None, tolerant: bool) -> None:
        try:
            attachment = stack.enter_context(connect(accelerator_id=name))
        except (UnavailableError, AccessDeniedError) as error:
            one = next((one for one in self._listed if one.id == name), None)
            if not tolerant or one is None:
                raise
            self._failed.append(Unwatched(one.id, one.type, one.ordinal, error.message))
            return
        self._watched[attachment.accelerator_id] = (attachment, attachment.capabilities())

    def look(self) -> list[Row]:
        """Every accelerator as it is now; one that cannot be reached says why."""
        rows: list[Row] = [self._row(name) for name in self._watched]
        known = {*self._watched, *(one.id for one in self._failed)}
        others = [
            Unwatched(one.id, one.type, one.ordinal, f"{one.status}; --accelerator looks into it")
            for one in self._listed
            if one.id not in known
        ]
        return [*rows, *self._failed, *others]

    def _row(self, name: str) -> Row:
        attachment, capabilities = self._watched[name]
        ordinal = next((one.ordinal for one in self._listed if one.id == name), None)
        try:
            listed = attachment.list()
        except UnavailableError as error:
            self._last.pop(name, None)
            return Unwatched(name, capabilities.accelerator_type, ordinal, error.message)
        sample = read_sample(time.monotonic(), ordinal, capabilities, listed)
        activity = between(self._last.get(name), sample)
        self._last[name] = sample
        return activity


def _listed() -> tuple[Accelerator, ...]:
    """The visible accelerators; none where the policies allow connecting and not listing."""
    try:
        return accelerators()
    except AccessDeniedError:
        return ()


def _page(rows: Sequence[Row]) -> str:
    now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return activity_table.as_text(rows, f"accel smi  {now}")


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """A screen of its own; what was on the terminal before comes back, whatever happens."""
    click.echo(_NEXT_SCREEN, nl=False)
    try:
        yield
    finally:
        click.echo(_FORMER_SCREEN, nl=False)


def _draw(page: str) -> None:
    """Over what is there, without clearing it first, so that nothing flickers."""
    lines = page.replace("\n", f"{_END_OF_LINE}\n")
    click.echo(f"{_HOME}{lines}{_END_OF_LINE}\n{_BELOW}", nl=False)
