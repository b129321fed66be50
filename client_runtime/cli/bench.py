"""`accel bench`: how fast a model is on an accelerator, what limits it, and how it is here."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from accel_protocol import tensors
from accel_protocol.accelerator_types import PUBLISHED_TYPES
from accel_protocol.errors import ConfigurationError
from accel_protocol.tensors import Array
from client_runtime import Attachment, EIPredictor, connect
from client_runtime import feeds as feeds_
from client_runtime.cli import bench_report, local_bench
from client_runtime.cli.bench_report import Emulated, FeedFacts, Result, Side
from client_runtime.cli.differences import compare
from client_runtime.cli.failures import told_as_messages
from client_runtime.cli.inputs import read_inputs
from client_runtime.cli.latencies import Measured, latencies, split
from client_runtime.cli.measuring import Caller, measure
from client_runtime.cli.model_options import ModelChoice, model_options, pairs
from client_runtime.cli.outputs import as_array, dtype_name
from client_runtime.cli.random_feeds import make_feeds, parse_sizes, rows_of
from client_runtime.cli.verdict import Facts, judge
from client_runtime.transport.exchange import CallTiming

_EXAMPLES = """\b
Examples:
  accel bench detector/1 --input inputs=@page.png
  accel bench detector/1 --dim inputs=480,640
  accel bench resnet --batch 16 --concurrency 4 --runs 200 --json
"""


@dataclass(frozen=True)
class Plan:
    """What to measure, as the options said."""

    runs: int
    warmup: int
    concurrency: int
    batch: int | None
    local: bool | None
    inputs: tuple[str, ...]
    dims: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Opened:
    """One side after its first call: that call's seconds and answer, and how to make more."""

    first_call: float
    answer: Mapping[str, Any]
    call: Caller


_POSITIVE = click.IntRange(min=1)


@click.command("bench", epilog=_EXAMPLES)
@model_options("MODEL_DIR")
@click.option(
    "--batch", type=_POSITIVE, help="Size of the feeds' first dimension where it is open.  [1]"
)
@click.option("--runs", type=_POSITIVE, default=50, show_default=True, help="Calls that count.")
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Calls before them that do not, besides the first.",
)
@click.option(
    "--concurrency", type=_POSITIVE, default=1, show_default=True, help="Calls at one time."
)
@click.option(
    "--local/--no-local",
    default=None,
    help="Compare with the TensorFlow installed here, in turns. Without either: if there is one.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=@FILE",
    help="A feed, as for `accel predict`. Feeds not given are random.",
)
@click.option(
    "--dim",
    "dims",
    callback=pairs,
    multiple=True,
    metavar="NAME=N[,N…]",
    help="Sizes of a random feed's open dimensions after the first; 1 where not given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, times in ms.")
def command(choice: ModelChoice, as_json: bool, **options: Any) -> None:
    """Measure MODEL_DIR, a SavedModel directory, on an accelerator.

    Says how long calls take, where their time goes (turning feeds into messages, the wire, the
    accelerator's queue, computing, reading the answer) and what limits them. Where TensorFlow is
    installed, the same calls are made with it in turns, and both answers are compared.
    """
    with told_as_messages():
        result = run(choice, Plan(**options))
    click.echo(bench_report.as_json(result) if as_json else bench_report.as_text(result))


def run(choice: ModelChoice, plan: Plan) -> Result:
    """Measure.

    Raises:
        AcceleratorError, OSError, ValueError, KeyError: as `EIPredictor`; ConfigurationError when a
            local side was asked for and there is no TensorFlow.
    """
    note = _no_local_side(plan)
    with choice.open() as unconnected:  # what is wrong with the arguments is said first
        arrays, made_up = _feeds(unconnected, plan)
    started = time.perf_counter()
    with connect(accelerator_id=choice.accelerator) as attachment, contextlib.ExitStack() as stack:
        connected = time.perf_counter() - started
        predictor = stack.enter_context(choice.open(attachment))
        sides = {"remote": _open_remote(predictor, arrays)}
        if not note:
            sides["local"] = _open_local(choice, arrays, stack)
        callers = {name: side.call for name, side in sides.items()}
        before = attachment.list().graphs
        measured = measure(callers, plan.runs, plan.warmup, plan.concurrency)
        return _result(
            _Setting(
                choice,
                plan,
                attachment,
                connected,
                predictor.uploaded_bytes,
                rows_of(arrays.values()),
                note,
                executing(before, attachment.list().graphs),
            ),
            {name: _feed_facts(array, name in made_up) for name, array in arrays.items()},
            sides,
            measured,
        )


def _no_local_side(plan: Plan) -> str:
    if plan.local is False:
        return "not measured, as --no-local says"
    if local_bench.is_installed():
        return ""
    if plan.local:
        raise ConfigurationError(
            "TensorFlow is not installed here, so there is nothing to compare with.",
            reason="ENGINE_MISSING",
            remedy="pip install tensorflow, or leave out --local.",
        )
    return "not measured: TensorFlow is not installed here"


def _feeds(predictor: EIPredictor, plan: Plan) -> tuple[dict[str, Array], set[str]]:
    """All feeds, and the names of those that are random."""
    infos = predictor.feed_tensors
    given = read_inputs(plan.inputs, infos, lambda: sys.stdin.buffer.read())
    missing = {name: info for name, info in infos.items() if name not in given}
    made = make_feeds(missing, plan.batch, parse_sizes(plan.dims))
    return feeds_.convert({**made, **given}, infos), set(made)


def _open_remote(predictor: EIPredictor, arrays: Mapping[str, Array]) -> _Opened:
    def call() -> CallTiming | None:
        predictor(arrays)
        return predictor.last_timing

    started = time.perf_counter()
    answer = predictor(arrays)
    return _Opened(time.perf_counter() - started, answer, call)


def _open_local(
    choice: ModelChoice, arrays: Mapping[str, Array], stack: contextlib.ExitStack
) -> _Opened:
    local_bench.import_tensorflow()  # which is no part of the first call
    started = time.perf_counter()
    local = stack.enter_context(local_bench.open_local(choice))
    answer = local(arrays)
    first_call = time.perf_counter() - started

    def call() -> None:
        local(arrays)

    return _Opened(first_call, answer, call)


def _feed_facts(array: Array, random: bool) -> FeedFacts:
    return FeedFacts(dtype_name(array), array.shape, _wire_bytes(array), random)


def _wire_bytes(array: Array) -> int:
    return tensors.encode("", array)[0].size


@dataclass(frozen=True)
class _Setting:
    choice: ModelChoice
    plan: Plan
    attachment: Attachment
    connected: float
    uploaded_bytes: int
    rows: int
    note: str
    engine: str


def executing(before: Iterable[Any], after: Iterable[Any]) -> str:
    """What executes the graph that ran most in between, told from two lists of GraphStatus."""
    earlier = {one.graph_id: one.runs for one in before}
    ran = [(one.runs - earlier.get(one.graph_id, 0), one.engine) for one in after]
    return max(ran, default=(0, ""))[1]


def _result(
    setting: _Setting,
    feeds: Mapping[str, FeedFacts],
    opened: Mapping[str, _Opened],
    measured: Mapping[str, Measured],
) -> Result:
    sides = {name: _side(opened[name], measured[name]) for name in opened}
    remote, local = sides["remote"], sides.get("local")
    parts = split(measured["remote"].timings)
    answers = [as_array(value) for value in opened["remote"].answer.values()]
    facts = Facts(
        parts=parts,
        p50=remote.latencies.p50,
        first_call=remote.first_call,
        call_bytes=sum(one.size for one in feeds.values()) + sum(map(_wire_bytes, answers)),
        local_p50=local.latencies.p50 if local else None,
    )
    capabilities = setting.attachment.capabilities()
    return Result(
        model=setting.choice.model,
        accelerator=f"{capabilities.accelerator_id} ({capabilities.accelerator_type})",
        engine=setting.engine or ", ".join(capabilities.engines),
        runs=setting.plan.runs,
        concurrency=setting.plan.concurrency,
        batch=setting.rows,
        feeds=feeds,
        connect=setting.connected,
        uploaded_bytes=setting.uploaded_bytes,
        remote=remote,
        split=parts,
        verdict=judge(facts),
        local=local,
        differences=compare(opened["remote"].answer, opened["local"].answer) if local else None,
        note=setting.note,
        emulated=emulated(measured["remote"].timings),
    )


def emulated(timings: Sequence[CallTiming]) -> Emulated | None:
    """What the last call's operations take on each published type; None when it had none."""
    last = timings[-1]
    if not last.flops_16 + last.flops_32:
        return None
    times = {one.name: one.seconds(last.flops_16, last.flops_32) for one in PUBLISHED_TYPES}
    return Emulated(last.flops_16, last.flops_32, times)


def _side(opened: _Opened, measured: Measured) -> Side:
    return Side(opened.first_call, latencies(measured.seconds), measured.throughput)
