"""Looking up and listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.control.metadata.folders import Folder, look_up

ROOT = Folder(
    {
        "latest": Folder({"a": "text", "b": Folder({"c": "deep"}, unlisted={"d": "hidden"})}),
        "old": Folder({}),
    },
    marks_folders=False,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "latest\nold"),
        ("/", "latest\nold"),
        ("latest", "a\nb/"),
        ("/latest/", "a\nb/"),
        ("latest/a", "text"),
        ("latest/a/", "text"),
        ("latest/b", "c"),
        ("latest/b/d", "hidden"),
        ("old", ""),
        ("latest/a/b", None),
        ("latest/nothing", None),
        ("latest//a", None),
        ("..", None),
        ("latest/A", None),
    ],
)
def test_look_up(path: str, expected: str | None) -> None:
    """Texts, listings, and nothing; one slash at either end makes no difference."""
    assert look_up(ROOT, path) == expected


@given(st.text(alphabet="ab/cdlatestold.%é", max_size=40))
def test_any_path(path: str) -> None:
    """A text or nothing, whatever is asked for."""
    answer = look_up(ROOT, path)
    assert answer is None or answer in {"latest\nold", "a\nb/", "text", "c", "deep", "hidden", ""}
