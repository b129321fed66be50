"""How TensorFlow's programs read flags: `--name=value`, booleans also `--name`, and nothing else.

A value that cannot be read is a mistake. What is no flag is kept apart: the original program names
the first of it and goes on. The flags are the fields of a data class, made by `flag`.

Pure.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

Value = bool | int | float | str
T = TypeVar("T")

_KIND = "kind"
_HELP = "help"
_OURS = "ours"
_INSTEAD = "instead"
_INTEGER = re.compile(r"\s*[+-]?[0-9]+")
_FLOAT = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BITS = {"int32": 31, "int64": 63}
_WIDTH = 33


def flag(
    default: Value, help_: str, *, kind: str = "", ours: bool = False, instead: str = ""
) -> Any:
    """A field of a data class of flags.

    Args:
        default: its value where the command line does not say; its type is the flag's.
        help_: one or two sentences for the usage.
        kind: "int64" for an integer that is not an int32.
        ours: TensorFlow Serving has no such flag.
        instead: for a flag that is accepted and does nothing: why, or what to use.
    """
    names = {bool: "bool", int: "int32", float: "float", str: "string"}
    metadata = {
        _KIND: kind or names[type(default)],
        _HELP: help_,
        _OURS: ours,
        _INSTEAD: instead,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Flag:
    """One row of the table of flags.

    Attributes:
        kind: "bool", "int32", "int64", "float" or "string".
        instead: "" where the flag does something.
    """

    name: str
    kind: str
    default: Value
    help: str
    is_ours: bool
    instead: str


def table(settings: type[Any]) -> list[Flag]:
    """The flags of a data class, in its order."""
    return [_row(one) for one in dataclasses.fields(settings)]


def _row(one: dataclasses.Field[Any]) -> Flag:
    metadata, default = one.metadata, cast(Value, one.default)
    return Flag(
        one.name,
        metadata[_KIND],
        default,
        metadata[_HELP],
        metadata[_OURS],
        metadata[_INSTEAD],
    )


@dataclass(frozen=True)
class CommandLine(Generic[T]):
    """What a command line says.

    Attributes:
        settings: of the flags that could be read.
        mistakes: a sentence for each value that could not be read.
        unknown: what is no flag, in order.
        given: names of the flags that were given.
    """

    settings: T
    mistakes: tuple[str, ...]
    unknown: tuple[str, ...]
    given: frozenset[str]


def parse(settings: type[T], words: Sequence[str]) -> CommandLine[T]:
    """Read a command line; a flag that is given twice has its last value."""
    flags = {f"--{one.name}": one for one in table(settings)}
    values: dict[str, Value] = {}
    mistakes: list[str] = []
    unknown: list[str] = []
    end = list(words).index("--") if "--" in words else len(words)
    for word in words[:end]:
        name, equals, text = word.partition("=")
        found = flags.get(name)
        if found is None or not (equals or found.kind == "bool"):
            unknown.append(word)
            continue
        value = read(found.kind, text if equals else "true")
        if value is None:
            mistakes.append(f"Couldn't interpret value {text} for flag {found.name}.")
        else:
            values[found.name] = value
    unknown.extend(words[end:])
    return CommandLine(settings(**values), tuple(mistakes), tuple(unknown), frozenset(values))


def read(kind: str, text: str) -> Value | None:
    """A value of a kind; None where it cannot be read."""
    if kind == "string":
        return text
    if kind == "bool":
        return {"true": True, "false": False}.get(text.lower())
    if kind == "float":
        return float(text) if _FLOAT.fullmatch(text) else None
    if not _INTEGER.fullmatch(text) or not text.isascii():
        return None
    number, bound = int(text), 1 << _BITS[kind]
    return number if -bound <= number < bound else None


def usage(program: str, settings: type[Any]) -> str:
    """The usage, as TensorFlow's programs lay it out."""
    lines = [f"usage: {program}", "Flags:"]
    for one in table(settings):
        shown = f"--{one.name}={_shown(one)}"
        help_ = f"{one.help} Accepted, without effect: {one.instead}" if one.instead else one.help
        lines.append(f"\t{shown:<{_WIDTH}}\t{one.kind}\t{help_}")
    return "\n".join(lines) + "\n"


def without_effect(settings: Any) -> list[str]:
    """A sentence for each flag that was set to something else than its default and does nothing."""
    return [
        f"--{one.name} has no effect here: {one.instead}"
        for one in table(type(settings))
        if one.instead and getattr(settings, one.name) != one.default
    ]


def _shown(one: Flag) -> str:
    if one.kind == "bool":
        return str(one.default).lower()
    if one.kind == "float":
        return f"{one.default:f}"
    return f'"{one.default}"' if one.kind == "string" else str(one.default)
