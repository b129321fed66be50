"""What is promised: each row of the table, who it compares and the ratio it has to reach. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from benchmarks.interleaving import Summary, ratio

OURS, OURS_LOCAL = "ours", "ours-local"
Rounds = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        name: for `--rows`.
        work, against: for people.
        group: the measurement it is read from.
        others: contestants of that measurement; their medians are added up.
        limit: what the ratio may be at most, or has to be at least.
        at_least: which of the two.
        note: what a reader should know besides.
        ours: which contestant of ours it is about.
    """

    name: str
    work: str
    against: str
    group: str
    others: tuple[str, ...]
    limit: float
    at_least: bool = False
    note: str = ""
    ours: str = OURS


_TRITON = "Triton with TLS, key and client-shipped model"
_SESSION = "in-process Session.run of the same SavedModel"
ROWS = (
    Row(
        "tiny-floor",
        "tiny model (1x16)",
        "in-process Session.run + a TLS socket round trip",
        "tiny",
        ("session", "tls"),
        1.5,
    ),
    Row(
        "tiny-grpc",
        "tiny model",
        "TensorFlow's grpc:// session, no TLS",
        "tiny",
        ("grpc-session",),
        0.6,
    ),
    Row("tiny-triton", "tiny model", _TRITON, "tiny", ("triton",), 0.35),
    Row("large-floor", "19 MB in, 16 bytes back", "TLS socket round trip", "large", ("tls",), 1.4),
    Row(
        "large-same-host",
        "19 MB in, same host and user",
        "TLS socket round trip",
        "large",
        ("tls",),
        0.4,
        ours=OURS_LOCAL,
        note="over a local socket",
    ),
    Row("large-triton", "19 MB in, 16 bytes back", _TRITON, "large", ("triton",), 0.25),
    Row("mobilenet", "MobileNetV2, batch 1", _SESSION, "mobilenet", ("session",), 0.45),
    Row("resnet", "ResNet50, batch 1", _SESSION, "resnet", ("session",), 0.60),
    Row(
        "mobilenet-load",
        "MobileNetV2, calls/s of 16 clients",
        "Triton",
        "mobilenet-16-clients",
        ("triton",),
        2.0,
        at_least=True,
    ),
    Row(
        "tiny-load",
        "tiny model, calls/s of 16 clients",
        "Triton",
        "tiny-16-clients",
        ("triton",),
        1.0,
        at_least=True,
    ),
    Row(
        "cold",
        "fresh process to first result, model there",
        "fresh process that imports TensorFlow",
        "cold",
        ("import-tensorflow",),
        0.15,
    ),
    Row(
        "upload",
        "first call of a 100 MB model, upload included",
        "tf.saved_model.load and the first call",
        "upload",
        ("saved-model-load",),
        1.3,
    ),
    Row(
        "memory",
        "accelerator memory after the last load and unload",
        "the same after a tenth of them",
        "memory",
        ("after-a-tenth",),
        1.05,
    ),
)
QUICK = ("tiny-floor", "large-floor", "large-same-host", "memory")


class Verdict(StrEnum):
    """What became of a promise."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass
class Group:
    """One measurement.

    Attributes:
        unit: "s", "calls/s" or "bytes".
        measured: values by round, by contestant.
        absent: why a contestant has none.
    """

    unit: str
    measured: dict[str, list[list[float]]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A row with what was measured; `ratio` is None where it was not, and `why` says why."""

    row: Row
    verdict: Verdict
    ratio: Summary | None
    why: str = ""


def judge(row: Row, groups: Mapping[str, Group]) -> Judged:
    """Hold a promise against the measurements."""
    group = groups.get(row.group)
    if group is None:
        return Judged(row, Verdict.NOT_MEASURED, None, "not asked for")
    for name in (row.ours, *row.others):
        if name not in group.measured:
            return Judged(row, Verdict.NOT_MEASURED, None, group.absent.get(name, "no contestant"))
    found = ratio(group.measured[row.ours], [group.measured[name] for name in row.others])
    good = found.median >= row.limit if row.at_least else found.median <= row.limit
    return Judged(row, Verdict.MET if good else Verdict.MISSED, found, row.note)


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names, in the table's order; all when none is given.

    Raises:
        ValueError: there is no such row.
    """
    unknown = sorted(set(names) - {row.name for row in ROWS})
    if unknown:
        known = ", ".join(row.name for row in ROWS)
        raise ValueError(f"There is no row {', '.join(unknown)}. There are: {known}.")
    return [row for row in ROWS if not names or row.name in names]
