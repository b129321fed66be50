"""The command line is read as TensorFlow Serving's is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.flags import grammar
from client_runtime.serving.flags.settings import Settings

READABLE: list[tuple[str, str, Any]] = [
    ("--port=9000", "port", 9000),
    ("--port=-1", "port", -1),
    ("--port= +12", "port", 12),
    ("--port=2147483647", "port", 2**31 - 1),
    ("--load_retry_interval_micros=-9223372036854775808", "load_retry_interval_micros", -(2**63)),
    ("--enable_batching", "enable_batching", True),
    ("--enable_batching=TRUE", "enable_batching", True),
    ("--enable_model_warmup=False", "enable_model_warmup", False),
    ("--model_name=", "model_name", ""),
    ("--model_name=a=b c", "model_name", "a=b c"),
    ("--drain_seconds=1.5e1", "drain_seconds", 15.0),
    ("--drain_seconds=3", "drain_seconds", 3.0),
]
UNREADABLE = [
    "--port=",
    "--port=x",
    "--port=1x",
    "--port=1.0",
    "--port=2147483648",
    "--port=\u0661",
    "--load_retry_interval_micros=9223372036854775808",
    "--enable_batching=1",
    "--enable_batching=",
    "--drain_seconds=nan",
    "--drain_seconds=",
]
NO_FLAGS = ["port=1", "-port=1", "--port", "--Port=1", "--model_name", "--no_such=1", "-h", "word"]


@pytest.mark.parametrize(("word", "name", "value"), READABLE)
def test_a_flag_is_read(word: str, name: str, value: Any) -> None:
    """Each kind of flag, at the edges of its values."""
    line = grammar.parse(Settings, [word])

    assert getattr(line.settings, name) == value
    assert (line.mistakes, line.unknown, line.given) == ((), (), {name})


@pytest.mark.parametrize("word", UNREADABLE)
def test_a_value_that_cannot_be_read_is_a_mistake(word: str) -> None:
    """The message names the value and the flag; the default stays."""
    line = grammar.parse(Settings, [word])

    name, _, value = word.removeprefix("--").partition("=")
    assert line.mistakes == (f"Couldn't interpret value {value} for flag {name}.",)
    assert line.settings == Settings()


@pytest.mark.parametrize("word", NO_FLAGS)
def test_what_is_no_flag_is_kept_apart(word: str) -> None:
    """A flag's name without "=" is none either, unless the flag is a boolean."""
    line = grammar.parse(Settings, [word, "--port=7"])

    assert line.unknown == (word,)
    assert line.settings.port == 7


def test_nothing_is_read_behind_two_dashes() -> None:
    """They and what follows count as unknown."""
    line = grammar.parse(Settings, ["--port=7", "--", "--port=8"])

    assert line.unknown == ("--", "--port=8")
    assert line.settings.port == 7


def test_the_last_of_equal_flags_counts() -> None:
    """As in the original."""
    assert grammar.parse(Settings, ["--port=7", "--port=8"]).settings.port == 8


@given(st.lists(st.text(max_size=20) | st.sampled_from(["--port=", "--version=", "--replicas="])))
def test_no_command_line_is_too_strange(words: list[str]) -> None:
    """Every word is a flag, a mistake or unknown."""
    line = grammar.parse(Settings, words)

    assert len(line.mistakes) + len(line.unknown) + len(line.given) <= len(words)


def test_usage_has_a_line_for_each_flag() -> None:
    """With its default and its kind, as TensorFlow writes them."""
    lines = grammar.usage("serve", Settings).splitlines()

    assert lines[:2] == ["usage: serve", "Flags:"]
    assert len(lines) == 2 + len(grammar.table(Settings))
    assert any(line.startswith("\t--port=8500                      \tint32\t") for line in lines)
    assert any(line.startswith('\t--saved_model_tags="serve"       \tstring\t') for line in lines)
    assert any(line.startswith("\t--enable_batching=false          \tbool\t") for line in lines)


def test_flags_without_effect_are_named_when_they_are_set() -> None:
    """Only those, and not at their default."""
    quiet = grammar.parse(Settings, ["--port=1", "--mixed_precision=", "--num_tflite_pools=0"])
    loud = grammar.parse(Settings, ["--port=1", "--mixed_precision=bfloat16"])

    assert grammar.without_effect(quiet.settings) == []
    (sentence,) = grammar.without_effect(loud.settings)
    assert sentence.startswith("--mixed_precision has no effect here: ")
