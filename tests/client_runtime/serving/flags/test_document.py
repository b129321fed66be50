"""docs/serving.md lists the flags that there are."""

from __future__ import annotations

import re

from client_runtime.serving.flags.grammar import Flag, table
from client_runtime.serving.flags.settings import Settings
from tests.conftest import ROOT

ROW = re.compile(r"^\| `--(\w+)` \| (\S+) \| .+ \|$", re.MULTILINE)


def rows(heading: str) -> dict[str, str]:
    """The flags of a section with their defaults."""
    document = (ROOT / "docs" / "serving.md").read_text()
    section = document.split(f"### {heading}\n")[1].split("\n#")[0]
    return dict(ROW.findall(section))


def as_written(flags: list[Flag]) -> dict[str, str]:
    """Flags as the document writes them."""
    return {
        one.name: (str(one.default).lower() if one.kind == "bool" else str(one.default)) or "–"
        for one in flags
    }


def test_every_flag_is_in_its_table() -> None:
    """With its default, and no other one is."""
    flags = table(Settings)

    assert rows("Our own") == as_written([one for one in flags if one.is_ours])
    assert rows("Accepted, without effect") == as_written([one for one in flags if one.instead])
    assert rows("TensorFlow Serving's") == as_written(
        [one for one in flags if not one.is_ours and not one.instead]
    )
