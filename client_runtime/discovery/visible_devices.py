"""Which accelerator a process means: `accelerator_id`, seen through `EI_VISIBLE_DEVICES`.

As the original did: the variable is a comma list of ordinals or ids; unset, all accelerators are
visible; empty, none is. What is visible gets new ordinals in the order in which it is listed: with
EI_VISIBLE_DEVICES=1,3 the accelerator 3 is the process's accelerator 1.

Pure. `resolve` is for whoever knows which accelerators there are. `ask` leaves that to the daemon,
which knows, so that connecting stays one request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from accel_protocol.errors import ConfigurationError

VARIABLE = "EI_VISIBLE_DEVICES"
MAX_DEVICES = 64
Selector = str | int

_ORDINAL = re.compile(r"[0-9]{1,6}")
_ID = re.compile(r"eia-[0-9a-f]{1,64}")


@dataclass(frozen=True)
class Known:
    """An accelerator that exists: its id, and its ordinal before the variable renumbers."""

    id: str
    ordinal: int


@dataclass(frozen=True)
class Question:
    """What to ask the daemon for, in its own ordinals.

    Attributes:
        accelerator: the one that is meant; None for the first of the visible ones that is free.
        visible: which ones are visible, in order; None for all.
    """

    accelerator: Selector | None
    visible: tuple[Selector, ...] | None


def parse_visible(variable: str | None) -> tuple[Selector, ...] | None:
    """The variable's entries; None when it is not set.

    Raises:
        ConfigurationError: it is empty, or an entry is neither ordinal nor id, or is there twice.
    """
    if variable is None:
        return None
    if not variable.strip():
        raise ConfigurationError(
            f"{VARIABLE} is empty, so no accelerator is visible.",
            remedy=f"Unset {VARIABLE}, or list ordinals or ids in it.",
        )
    texts = [text.strip() for text in variable.split(",")]
    if len(texts) > MAX_DEVICES:
        raise _wrong(f"{VARIABLE} lists more than {MAX_DEVICES} accelerators.")
    entries = tuple(_selector(text, f"{VARIABLE} lists") for text in texts)
    for entry in entries:
        if entries.count(entry) > 1:
            raise _wrong(f"{VARIABLE} lists {entry!r} twice.")
    return entries


def parse_requested(requested: str | int | None) -> Selector | None:
    """`accelerator_id` as an ordinal or an id.

    Raises:
        ConfigurationError: it is neither.
    """
    if requested is None:
        return None
    if isinstance(requested, bool) or not isinstance(requested, str | int):
        raise _wrong(f"accelerator_id is a {type(requested).__name__}.")
    return _selector(str(requested), "accelerator_id is")


def resolve(
    requested: str | int | None, visible_variable: str | None, known: Sequence[Known]
) -> list[str]:
    """The ids that may be used, in the order in which to try them.

    Args:
        requested: `accelerator_id`: ordinal among the visible ones, id, digits, or None for any.
        visible_variable: the value of EI_VISIBLE_DEVICES; None when it is not set.
        known: the accelerators there are.

    Raises:
        ConfigurationError: nothing is visible, or something is named that is not there; the message
            lists what is.
    """
    wanted, entries = parse_requested(requested), parse_visible(visible_variable)
    visible = [one.id for one in known]
    if entries is not None:
        visible = [_find(entry, known) for entry in entries]
        twice = next((one for one in visible if visible.count(one) > 1), None)
        if twice is not None:
            raise _wrong(f"{VARIABLE} lists {twice} twice, by ordinal and by id.")
    if wanted is None:
        return visible
    if isinstance(wanted, int) and wanted < len(visible):
        return [visible[wanted]]
    if wanted in visible:
        return [str(wanted)]
    shown = _list([Known(one, ordinal) for ordinal, one in enumerate(visible)])
    raise _wrong(f"There is no accelerator {wanted!r} among those that are visible: {shown}.")


def ask(requested: str | int | None, visible_variable: str | None) -> Question:
    """What to ask a daemon that knows which accelerators there are.

    Raises:
        ConfigurationError: nothing is visible, or it is certain that something is not there.
    """
    wanted, entries = parse_requested(requested), parse_visible(visible_variable)
    if entries is None:
        return Question(wanted, None)
    if isinstance(wanted, int):
        if wanted >= len(entries):
            raise _wrong(
                f"There is no accelerator {wanted}: {VARIABLE} makes {len(entries)} visible, "
                f"with the ordinals 0 to {len(entries) - 1}."
            )
        return Question(entries[wanted], None)
    if wanted is None:
        return Question(None, entries)
    if wanted in entries:
        return Question(wanted, None)
    if all(isinstance(entry, str) for entry in entries):
        raise not_visible(wanted)
    # It may be one of the ordinals: only the daemon can tell.
    return Question(wanted, entries)


def visible_ordinal(visible_variable: str | None, chosen: Known) -> int:
    """The ordinal among the visible ones of the accelerator that a daemon chose.

    Raises:
        ConfigurationError: it is not among them.
    """
    entries = parse_visible(visible_variable)
    if entries is None:
        return chosen.ordinal
    for place, entry in enumerate(entries):
        if entry in (chosen.id, chosen.ordinal):
            return place
    raise not_visible(chosen.id)


def not_visible(accelerator_id: str) -> ConfigurationError:
    """The error for an accelerator that EI_VISIBLE_DEVICES hides."""
    return _wrong(f"{VARIABLE} does not list the accelerator {accelerator_id}.")


def _selector(text: str, where: str) -> Selector:
    if _ORDINAL.fullmatch(text) and text.isascii():
        return int(text)
    if _ID.fullmatch(text):
        return text
    raise _wrong(f"{where} {text[:40]!r}, which is neither an ordinal nor an id.")


def _find(entry: Selector, known: Sequence[Known]) -> str:
    for one in known:
        if entry in (one.id, one.ordinal):
            return one.id
    raise _wrong(f"{VARIABLE} lists {entry!r}, and there is only {_list(known)}.")


def _list(known: Sequence[Known]) -> str:
    return ", ".join(f"{one.ordinal} ({one.id})" for one in known) or "none at all"


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(
        message,
        reason="ACCELERATOR_NOT_FOUND",
        remedy=f"`accel ls` lists the accelerators; correct accelerator_id or {VARIABLE}.",
    )
