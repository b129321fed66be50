"""What the documents say is what the programs do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from accel_daemon.cli.main import cli
from accel_protocol.errors import REASONS
from client_runtime.cli.main import cli as accel
from tests.conftest import ROOT

PROGRAMS: dict[str, click.Command] = {"accel-daemon": cli, "accel": accel}
NAMES = ("README.md", "CHANGELOG.md", "SECURITY.md")
DOCUMENTS = sorted([*(ROOT / name for name in NAMES), *ROOT.glob("docs/**/*.md")])


def commands_in(text: str) -> list[list[str]]:
    """The commands of a document, split into words; the program is the first."""
    lines = re.findall(r"^(?:accel-daemon|accel) .*$", text, re.MULTILINE)
    cells = re.findall(r"^\| `((?:accel-daemon|accel) .*?)` \|", text, re.MULTILINE)
    return [shlex.split(line) for line in [*lines, *cells]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_exist(document: Path) -> None:
    """Every command and option that a document shows is one the program has."""
    for words in commands_in(document.read_text()):
        command: click.Command | None = PROGRAMS[words.pop(0)]
        while isinstance(command, click.Group):
            command = command.get_command(click.Context(command), words.pop(0))
        assert command is not None, words
        if command.context_settings.get("ignore_unknown_options"):
            continue  # the rest of the line is for another program
        options = {name for option in command.params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_reference_lists_every_option_of_up() -> None:
    """The table of `up` has all options, and no others."""
    table = (ROOT / "docs" / "reference.md").read_text()
    listed = set(re.findall(r"^\| `(--[a-z-]+)` \|", table, re.MULTILINE))

    assert listed == {name for option in cli.commands["up"].params for name in option.opts}


def test_errors_are_all_documented() -> None:
    """The table of errors has every reason with its remedy."""
    table = (ROOT / "docs" / "errors.md").read_text()

    for reason, row in REASONS.items():
        assert re.search(rf"^\| `{reason}` \| .* \| {re.escape(row.remedy)} \|$", table, re.M)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_variables_are_documented(document: Path) -> None:
    """Every environment variable that a document names is in the reference's table."""
    table = (ROOT / "docs" / "reference.md").read_text()
    named = re.findall(r"`((?:ACCEL|EI|AWS_EC2|ECS)_[A-Z0-9_]+)", document.read_text())

    for variable in named:
        assert re.search(rf"^\| .*`{variable}`.* \|", table, re.MULTILINE), variable


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Links to files of this repository have a target."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_promises_name_the_tests_that_show_them() -> None:
    """Each test that the security promises name is there; a bare name stands somewhere in tests."""
    named = re.findall(r"`((?:tests/|test_)[\w/.]+)`", (ROOT / "SECURITY.md").read_text())

    assert len(named) > 20
    for name in named:
        assert (ROOT / name).exists() or any(ROOT.glob(f"tests/**/{name}")), name


def test_readme_names_the_test_command_that_ci_runs() -> None:
    """The command for the tests is the same everywhere."""
    assert "pip install tox-uv && tox\n" in (ROOT / "README.md").read_text()
    assert "pip install --quiet tox-uv\ntox\n" in (ROOT / ".ci" / "run").read_text()


def test_decisions_are_all_listed() -> None:
    """The index has every decision."""
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()

    assert all(f"({path.name})" in index for path in folder.glob("0*.md"))
