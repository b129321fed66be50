"""One fault: which kind, where, how often, how long; as a value, as JSON and as text.

drop:probability=0.3,seed=7
{"kind": "drop", "probability": 0.3, "seed": 7}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum

from accel_protocol.errors import CallError

# Twenty years: past the end of every certificate.
_MOST_OFFSET_SECONDS = 20 * 365 * 86_400
_REMEDY = "See `accel-daemon fault inject --help`."


class Kind(StrEnum):
    """What goes wrong."""

    UNAVAILABLE = "unavailable"  # Connect and calls are refused, open streams end
    UNHEALTHY = "unhealthy"  # health checks say so, though calls are answered
    SLOW = "slow"  # messages take longer
    DROP = "drop"  # connections are cut
    EXPIRED_CREDENTIALS = "expired-credentials"  # tickets or requests are refused as expired
    MEMORY_PRESSURE = "memory-pressure"  # there is less room for graphs
    CLOCK_SKEW = "clock-skew"  # the clock of the daemon and of its processes was set


# These hold or do not hold, for a time; the others strike at single calls and messages.
STATES = frozenset({Kind.UNHEALTHY, Kind.MEMORY_PRESSURE, Kind.CLOCK_SKEW})


@dataclass(frozen=True)
class Fault:
    """One fault. What is not of its kind has its default.

    Attributes:
        kind: what goes wrong.
        accelerator: id or ordinal of the one accelerator; None for all.
        probability: of striking, each time that it could; of a state, once for each accelerator.
        count: strikes after which it is over, at each place; None for no bound.
        seconds: after which it is over; None for no bound.
        seed: of all chance.
        latency_ms, jitter_ms: slow: each message takes so much longer, plus up to the jitter.
        bytes_per_second: slow: of all messages together; None for no bound.
        messages: drop: a stream is cut when so many messages came in on it; None: at each call.
        when: drop: "before" or "after" the work is done.
        at: expired-credentials: refused by "accelerator", "control" or "both".
        bytes: memory-pressure: what all loaded graphs may take.
        offset_seconds: clock-skew: by how much the clock is ahead, or for less than 0 behind.
    """

    kind: Kind
    accelerator: str | int | None = None
    probability: float = 1.0
    count: int | None = None
    seconds: float | None = None
    seed: int = 0
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    bytes_per_second: int | None = None
    messages: int | None = None
    when: str = "before"
    at: str = "accelerator"
    bytes: int | None = None
    offset_seconds: float = 0.0

    @property
    def is_certain(self) -> bool:
        """Whether it strikes every time until it is cleared or its time is over."""
        return self.probability == 1 and self.count is None

    def to_document(self) -> dict[str, object]:
        """A JSON object that `parse_fault` reads; without what has its default."""
        defaults = Fault(self.kind)
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        changed = {name: value for name, value in given.items() if value != getattr(defaults, name)}
        return {"kind": self.kind.value, **changed}

    def to_text(self) -> str:
        """The text form, which `parse_fault` reads."""
        document = self.to_document()
        kind = document.pop("kind")
        settings = ",".join(f"{name}={value}" for name, value in document.items())
        return f"{kind}:{settings}" if settings else str(kind)


@dataclass(frozen=True)
class _Number:
    """What a number must be."""

    type: type[int] | type[float]
    lowest: float
    highest: float

    def read(self, name: str, value: object) -> int | float:
        number = math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = value
        is_fitting = self.type is float or isinstance(number, int)
        if not is_fitting or not self.lowest <= number <= self.highest:
            what = "a whole number" if self.type is int else "a number"
            bounds = f"from {self.lowest:g} to {self.highest:g}"
            raise CallError(f"A fault's {name} is {what} {bounds}.", remedy=_REMEDY)
        return self.type(number)


_NUMBERS: Mapping[str, _Number] = {
    "probability": _Number(float, 0, 1),
    "count": _Number(int, 1, 10**9),
    "seconds": _Number(float, 0.001, 7 * 24 * 3600),
    "seed": _Number(int, 0, 2**63 - 1),
    "latency_ms": _Number(float, 0, 600_000),
    "jitter_ms": _Number(float, 0, 600_000),
    "bytes_per_second": _Number(int, 1, 2**50),
    "messages": _Number(int, 1, 10**9),
    "bytes": _Number(int, 0, 2**50),
    "offset_seconds": _Number(float, -_MOST_OFFSET_SECONDS, _MOST_OFFSET_SECONDS),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "when": ("before", "after"),
    "at": ("accelerator", "control", "both"),
}
_COMMON = ("accelerator", "probability", "count", "seconds", "seed")
SETTINGS: Mapping[Kind, tuple[str, ...]] = {
    Kind.UNAVAILABLE: _COMMON,
    Kind.UNHEALTHY: tuple(name for name in _COMMON if name != "count"),
    Kind.SLOW: (*_COMMON, "latency_ms", "jitter_ms", "bytes_per_second"),
    Kind.DROP: (*_COMMON, "messages", "when"),
    Kind.EXPIRED_CREDENTIALS: (*_COMMON, "at"),
    Kind.MEMORY_PRESSURE: (*(name for name in _COMMON if name != "count"), "bytes"),
    # One machine has one clock: there are no other places, and no chance.
    Kind.CLOCK_SKEW: ("seconds", "offset_seconds"),
}


def parse_fault(value: str | Mapping[str, object]) -> Fault:
    """The fault that a text or a JSON object describes. Names may have `-` for `_`.

    Raises:
        CallError: it describes none; the message says which setting is wrong.
    """
    document = _of_text(value) if isinstance(value, str) else value
    kind = _kind(document.get("kind"))
    given = {
        str(name).replace("-", "_"): one
        for name, one in document.items()
        if name != "kind" and one is not None
    }
    known = SETTINGS[kind]
    for name in given:
        if name not in known:
            raise CallError(
                f"A fault of kind {kind.value} has no setting {name[:40]!r}; "
                f"it has {', '.join(known)}.",
                remedy=_REMEDY,
            )
    fault = Fault(kind, **{name: _setting(name, one) for name, one in given.items()})  # type: ignore[arg-type]
    _check(fault)
    return fault


def _kind(value: object) -> Kind:
    try:
        return Kind(str(value))
    except ValueError:
        kinds = ", ".join(kind.value for kind in Kind)
        raise CallError(f"A fault's kind is one of {kinds}.", remedy=_REMEDY) from None


def _of_text(text: str) -> dict[str, object]:
    kind, _, rest = text.partition(":")
    document: dict[str, object] = {"kind": kind.strip()}
    for part in rest.split(",") if rest.strip() else ():
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not name or name in document:
            raise CallError(
                f"{part.strip()[:40]!r} is no setting of a fault, or is there twice.",
                remedy="Write KIND:name=value,name=value.",
            )
        document[name] = _of_word(value)
    return document


def _of_word(word: str) -> object:
    """A number where the word is one."""
    for kind in (int, float):
        try:
            number = kind(word)
        except ValueError:
            continue
        return number if math.isfinite(number) else word
    return word


def _setting(name: str, value: object) -> object:
    if name in _NUMBERS:
        return _NUMBERS[name].read(name, value)
    if name == "accelerator":
        return _accelerator(value)
    if value not in _CHOICES[name]:
        raise CallError(f"A fault's {name} is one of {', '.join(_CHOICES[name])}.", remedy=_REMEDY)
    return value


def _accelerator(value: object) -> str | int | None:
    if value == "all":
        return None
    is_ordinal = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    is_id = isinstance(value, str) and value.startswith("eia-") and value.isascii()
    if not is_ordinal and not (is_id and len(value) <= 40 and value[4:].isalnum()):  # type: ignore[arg-type,index]
        raise CallError("A fault's accelerator is an id, an ordinal or `all`.", remedy=_REMEDY)
    return value  # type: ignore[return-value]


def _check(fault: Fault) -> None:
    """What the settings must be together."""
    wrong = ""
    if fault.kind is Kind.SLOW and not (
        fault.latency_ms or fault.jitter_ms or fault.bytes_per_second
    ):
        wrong = "A slow fault needs latency_ms, jitter_ms or bytes_per_second."
    if fault.kind is Kind.MEMORY_PRESSURE and fault.bytes is None:
        wrong = "A memory-pressure fault needs bytes."
    if fault.kind is Kind.CLOCK_SKEW and not fault.offset_seconds:
        wrong = "A clock-skew fault needs offset_seconds."
    if fault.messages is not None and fault.when == "after":
        wrong = "A connection that is cut after some messages is not cut after the work."
    if wrong:
        raise CallError(wrong, remedy=_REMEDY)
