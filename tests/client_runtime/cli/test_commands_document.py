"""docs/commands.md says what the commands do, and all of it."""

from __future__ import annotations

import importlib
import re
import shlex

import click
import pytest

from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "commands.md"
SHARED = ("--signature", "--input-name", "--output-name", "--tags", "--accelerator")


def command(name: str) -> click.Command:
    """A command by its name."""
    found: click.Command = importlib.import_module(f"client_runtime.cli.{name}").command
    return found


def options_of(name: str) -> set[str]:
    """All options that a command takes."""
    options = [one for one in command(name).params if isinstance(one, click.Option)]
    return {word for one in options for word in (*one.opts, *one.secondary_opts)}


def section(title: str) -> str:
    """The document's part under a heading of the second level."""
    parts = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    return next(part for part in parts if part.startswith(title))


def listed(text: str) -> set[str]:
    """The options in the tables of a text."""
    return set(re.findall(r"^\| `(--[a-z-]+)` \|", text, re.MULTILINE))


@pytest.mark.parametrize(("name", "shared"), [("predict", SHARED), ("bench", SHARED), ("smi", ())])
def test_every_option_is_listed(name: str, shared: tuple[str, ...]) -> None:
    """The tables have all options, and no others."""
    assert listed(section(f"`accel {name}")) | set(shared) == options_of(name)


def test_shared_options_are_listed_once() -> None:
    """What predict and bench have in common is one table."""
    assert listed(section("Which model")) == set(SHARED)


@pytest.mark.parametrize("name", ["predict", "bench"])
def test_defaults_are_true(name: str) -> None:
    """A number in the column of defaults is the option's."""
    rows = re.findall(r"^\| `(--[a-z-]+)` \| ([0-9]+) \|", section(f"`accel {name}"), re.MULTILINE)
    values = command(name).make_context(name, ["model"]).params
    names = {one.opts[0]: str(one.name) for one in command(name).params}

    for option, number in rows:
        # None is what the program itself fills in, from the model.
        assert values[names[option]] in (int(number), None, ()), option


def test_examples_are_valid() -> None:
    """Every example, here and in --help, is one that the command line takes."""
    texts = [DOCUMENT.read_text(), *(command(name).epilog or "" for name in ("predict", "bench"))]
    lines = re.findall(r"^(?:.*\| | *)accel (\w+ .*)$", "\n".join(texts), re.MULTILINE)
    shown = [words for words in map(shlex.split, lines) if words[0] in ("predict", "bench")]

    assert len(shown) >= 10
    for name, *arguments in shown:
        command(name).make_context(name, arguments)


@pytest.mark.parametrize("name", ["predict", "bench", "smi"])
def test_help_has_examples(name: str) -> None:
    """Each command shows how it is used, one example a line."""
    with click.Context(command(name), info_name=f"accel {name}", terminal_width=80) as context:
        text = command(name).get_help(context)

    assert len(re.findall(rf"^  +accel {name}", text, re.MULTILINE)) >= 3
    assert command(name).name == name
