"""What `--input` says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import FeedError
from client_runtime.cli.input_arguments import (
    FromFile,
    FromStandardInput,
    Inline,
    InputArgument,
    Source,
    assign,
    parse_input,
)


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("x=@a.npy", "x", FromFile("a.npy")),
        ("@a.npy", None, FromFile("a.npy")),
        ("x=@a.npz:key", "x", FromFile("a.npz", "key")),
        ("x=@A.NPZ:k", "x", FromFile("A.NPZ", "k")),
        ("x=@a:b.npz:k=1", "x", FromFile("a:b.npz", "k=1")),
        ("x=@a.npz", "x", FromFile("a.npz")),
        ("x=@a.npz:", "x", FromFile("a.npz:")),
        ("x=@dir:1/a.npy", "x", FromFile("dir:1/a.npy")),
        ("@with=sign.png", None, FromFile("with=sign.png")),
        ("x=@-", "x", FromStandardInput()),
        ("@-", None, FromStandardInput()),
        ("x=[[1, 2]]", "x", Inline("[[1, 2]]")),
        ("[[1, 2]]", None, Inline("[[1, 2]]")),
        ('"a=b"', None, Inline('"a=b"')),
        ('x="a=b"', "x", Inline('"a=b"')),
        ("-1.5", None, Inline("-1.5")),
        ("true", None, Inline("true")),
        ("a/b=1", "a/b", Inline("1")),
    ],
)
def test_forms(text: str, name: str | None, source: Source) -> None:
    """Every documented form, and names and paths with signs in them."""
    assert parse_input(text) == InputArgument(name, source)


@pytest.mark.parametrize("text", ["", "x=", "=1", "@", "x=@"])
def test_incomplete_ones_are_refused(text: str) -> None:
    """What says no value or no name is an error with a remedy."""
    with pytest.raises(FeedError, match="--input") as caught:
        parse_input(text)

    assert "NAME=@FILE" in caught.value.remedy


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a FeedError leaves the parser."""
    try:
        argument = parse_input(text)
    except FeedError:
        return
    assert argument.name != ""


@given(st.from_regex(r"[a-z_/]{1,9}", fullmatch=True), st.text(min_size=1))
def test_a_name_is_kept_with_its_value(name: str, value: str) -> None:
    """Whatever inline text follows the first sign belongs to the value."""
    if not value.startswith("@"):
        assert parse_input(f"{name}={value}") == InputArgument(name, Inline(value))


def test_one_feed_needs_no_name() -> None:
    """The only feed gets the value without a name."""
    assert assign([parse_input("@a.npy")], ["image"]) == {"image": FromFile("a.npy")}


@pytest.mark.parametrize(
    ("texts", "feeds", "says"),
    [
        (["@a.npy"], ["x", "y"], "exactly one feed"),
        (["@a.npy"], [], "exactly one feed"),
        (["z=1"], ["x", "y"], "no feed 'z'"),
        (["x=1", "x=2"], ["x", "y"], "given twice"),
        (["1", "x=2"], ["x"], "given twice"),
        (["x=@-", "y=@-"], ["x", "y"], "standard input"),
    ],
)
def test_wrong_sets_are_refused(texts: list[str], feeds: list[str], says: str) -> None:
    """Names that are unknown, ambiguous or doubled are said before anything is read."""
    with pytest.raises(FeedError, match=says):
        assign([parse_input(text) for text in texts], feeds)
