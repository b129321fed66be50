"""What `--input` says: which feed, and where its value comes from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from accel_protocol.errors import FeedError

_FORMS = "Write NAME=@FILE, NAME=@- or NAME=JSON; `accel predict --help` has examples."
# What JSON values begin with, so that a "=" inside of a value is not taken for a name's end.
_JSON_STARTS = ("[", "{", '"', "-", *"0123456789")


@dataclass(frozen=True)
class FromFile:
    """A file's content; `key` names one array of an .npz file."""

    path: str
    key: str | None = None


@dataclass(frozen=True)
class FromStandardInput:
    """JSON from standard input."""


@dataclass(frozen=True)
class Inline:
    """JSON as it stands on the command line."""

    text: str


Source = FromFile | FromStandardInput | Inline


@dataclass(frozen=True)
class InputArgument:
    """One `--input`. `name` is None when the model's only feed is meant."""

    name: str | None
    source: Source


def parse_input(text: str) -> InputArgument:
    """Read one `--input`.

    Raises:
        FeedError: the name, the file or the value is missing.
    """
    if text.startswith(("@", *_JSON_STARTS)) or "=" not in text:
        return InputArgument(None, _source(text, text))
    name, _, value = text.partition("=")
    if not name:
        raise FeedError(f"--input {text!r} has no name before the sign =.", remedy=_FORMS)
    return InputArgument(name, _source(value, text))


def _source(value: str, text: str) -> Source:
    if value == "@-":
        return FromStandardInput()
    if value in ("", "@"):
        raise FeedError(f"--input {text!r} says no value.", remedy=_FORMS)
    if not value.startswith("@"):
        return Inline(value)
    path, colon, key = value[1:].rpartition(":")
    if colon and key and path.lower().endswith(".npz"):
        return FromFile(path, key)
    return FromFile(value[1:])


def assign(arguments: Sequence[InputArgument], feeds: Collection[str]) -> dict[str, Source]:
    """Which feed gets which value.

    Raises:
        FeedError: an unknown feed, one that is given twice, a missing name, or more than one value
            from standard input.
    """
    known = ", ".join(sorted(feeds)) or "none"
    assigned: dict[str, Source] = {}
    for argument in arguments:
        name = argument.name
        if name is None:
            if len(feeds) != 1:
                raise FeedError(
                    "An --input says no name, and the model does not have exactly one feed.",
                    remedy=f"Write NAME=… with one of: {known}.",
                )
            name = next(iter(feeds))
        if name not in feeds:
            raise FeedError(f"The model has no feed {name!r}.", remedy=f"It has: {known}.")
        if name in assigned:
            raise FeedError(f"The feed {name!r} is given twice.", remedy="Give it once.")
        assigned[name] = argument.source
    if sum(isinstance(source, FromStandardInput) for source in assigned.values()) > 1:
        raise FeedError(
            "Two feeds come from standard input.", remedy="Put all but one of them into files."
        )
    return assigned
