"""What the commands about users, groups and roles have in common: the store, and files of policies.

Every change goes through `change`, which the running daemon notices within a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from accel_daemon.control.identity_store import IdentityStore
from accel_daemon.home import Home, make_private_folder
from accel_daemon.iam.policy import load_document, parse_policy
from accel_daemon.iam.principals import Identities
from accel_protocol.errors import ConfigurationError

POLICY_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def load_identities() -> Identities:
    """What the home holds."""
    return _store().load()


def change(step: Callable[[Identities], Identities]) -> None:
    """Apply a change to what the home holds."""
    _store().update(step)


def policy_option(text: str, *, required: bool = True) -> Option:
    """`--policy FILE`."""
    return click.option("--policy", "policy_file", required=required, type=POLICY_FILE, help=text)


def boundary_option() -> Option:
    """`--boundary FILE`."""
    return click.option(
        "--boundary",
        "boundary_file",
        type=POLICY_FILE,
        help="A file with an IAM policy document that must allow as well. Default: no limit.",
    )


def json_option() -> Option:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print everything, as JSON.")


def read_policy(path: Path) -> Mapping[str, object]:
    """A file's policy document, which is understood.

    Raises:
        ConfigurationError: it is none.
    """
    document = load_document(read_policy_text(path))
    parse_policy(document)
    return document


def read_policy_or_none(path: Path | None) -> Mapping[str, object] | None:
    """`read_policy` of an option that may be left out."""
    return None if path is None else read_policy(path)


def read_policy_text(file: Path) -> str:
    """A policy file's text.

    Raises:
        ConfigurationError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{file} is not UTF-8.", remedy="Write an IAM policy document into it."
        ) from None


def print_rows(rows: Sequence[Mapping[str, object]], as_json: bool) -> None:
    """A list for programs, or a line each for people: the name, then what there is."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        name, *members = row.items()
        shown = [f"{key} {_shown(value)}" for key, value in members if value not in (None, [])]
        click.echo("\t".join([str(name[1]), *shown]))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _store() -> IdentityStore:
    home = Home.from_environment(os.environ)
    make_private_folder(home.daemon)
    return IdentityStore(home.identities)
