"""Spans as the XSpace that TensorFlow's profiler tools and TensorBoard read. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from client_runtime.serving.telemetry.spans import Span, rows_of
from client_runtime.serving_wire import xplane_pb2

# The name by which the tools know what happened on the host.
HOST_PLANE = "/host:CPU"
_PICOSECONDS = 1_000_000_000_000
_Metadata = TypeVar("_Metadata", xplane_pb2.XEventMetadata, xplane_pb2.XStatMetadata)


def xspace(
    groups: Mapping[str, Iterable[Span]],
    *,
    began_at: float,
    ended_at: float,
    unix_ns: int,
    hostname: str,
    warnings: Iterable[str] = (),
) -> xplane_pb2.XSpace:
    """A profile of what happened in an interval; spans that reach out of it are cut.

    Args:
        groups: spans by the name of their rows.
        began_at: of the interval, time.monotonic().
        ended_at: likewise.
        unix_ns: Unix time of its beginning, in nanoseconds.
        hostname: of this machine.
        warnings: for whoever looks at it.
    """
    space = xplane_pb2.XSpace(hostnames=[hostname], warnings=warnings)
    plane = _Plane(space.planes.add(name=HOST_PLANE), began_at)
    for name, spans in groups.items():
        cut = [span.within(began_at, ended_at) for span in spans]
        for number, row in enumerate(rows_of(cut), start=1):
            plane.add_row(f"{name} {number}", row, unix_ns)
    return space


class _Plane:
    """A plane that is being filled."""

    def __init__(self, plane: xplane_pb2.XPlane, began_at: float) -> None:
        self._plane, self._began_at = plane, began_at
        self._names: dict[str, int] = {}
        self._facts: dict[str, int] = {}

    def add_row(self, name: str, spans: Iterable[Span], unix_ns: int) -> None:
        number = len(self._plane.lines) + 1
        row = self._plane.lines.add(id=number, display_id=number, name=name, timestamp_ns=unix_ns)
        for span in spans:
            self._add_span(row, span)

    def _add_span(self, row: xplane_pb2.XLine, span: Span) -> None:
        event = row.events.add(
            metadata_id=_number(self._names, span.name, self._plane.event_metadata),
            offset_ps=round((span.began_at - self._began_at) * _PICOSECONDS),
            duration_ps=round((span.ended_at - span.began_at) * _PICOSECONDS),
        )
        for name, value in span.facts.items():
            stat = event.stats.add(
                metadata_id=_number(self._facts, name, self._plane.stat_metadata)
            )
            if isinstance(value, int):
                stat.int64_value = value
            else:
                stat.str_value = value
        for part in span.parts:
            self._add_span(row, part)


def _number(known: dict[str, int], name: str, metadata: Mapping[int, _Metadata]) -> int:
    """The number of a name in a plane's table, where it is entered when it is new."""
    number = known.setdefault(name, len(known) + 1)
    entry = metadata[number]
    entry.id, entry.name = number, name
    return number
