"""What became of `tensorflow.contrib`'s modules."""

from __future__ import annotations

import pytest

from client_runtime.compat.contrib_names import REPLACEMENTS, explain
from tests.conftest import ROOT


@pytest.mark.parametrize("name", [*REPLACEMENTS, "never_heard_of.at_all"])
def test_explanation_is_one_line_on_the_module(name: str) -> None:
    """Each names the module, not what is inside of it, and says something."""
    first = name.partition(".")[0]
    text = explain(name)

    assert text.startswith(f"TensorFlow 2 has no tensorflow.contrib.{first}. What replaced it: ")
    assert "\n" not in text


def test_document_has_the_same_table() -> None:
    """The page on `accel run` lists every name with the words of the message."""
    page = (ROOT / "docs" / "accel-run.md").read_text()
    table = page.partition("| `tensorflow.contrib.` | replaced by |\n|---|---|\n")[2]

    assert table == "".join(f"| `{name}` | {words} |\n" for name, words in REPLACEMENTS.items())
