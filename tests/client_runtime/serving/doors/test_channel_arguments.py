"""`--grpc_channel_arguments` is read as the original reads it."""

from __future__ import annotations

import pytest

from client_runtime.serving.doors.channel_arguments import Arguments, parse_channel_arguments
from client_runtime.serving.statuses import ServingError


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", []),
        ("grpc.max_connection_age_ms=2000", [("grpc.max_connection_age_ms", 2000)]),
        ("a=1,b=x,c=-3", [("a", 1), ("b", "x"), ("c", -3)]),
        ("a=2147483648", [("a", "2147483648")]),
        ("a=b=c,", [("a", "b=c")]),
        ("a=", [("a", "")]),
    ],
)
def test_pairs(text: str, arguments: Arguments) -> None:
    """Numbers where they are int32, texts else."""
    assert parse_channel_arguments(text) == arguments


@pytest.mark.parametrize("text", ["a", "=1", "a=1,b"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    """The message shows it."""
    with pytest.raises(ServingError, match="name=value"):
        parse_channel_arguments(text)
