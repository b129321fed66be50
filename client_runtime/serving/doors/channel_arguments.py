"""`--grpc_channel_arguments`: name=value pairs, separated by commas. Pure."""

from __future__ import annotations

from client_runtime.serving.flags.grammar import read
from client_runtime.serving.statuses import invalid

Arguments = list[tuple[str, int | str]]


def parse_channel_arguments(text: str) -> Arguments:
    """The arguments: a value that is an int32 is a number, any other a text.

    Raises:
        ServingError: one is not name=value.
    """
    arguments: Arguments = []
    for pair in filter(None, text.split(",")):
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise invalid(f"--grpc_channel_arguments has {pair!r}, which is not name=value.")
        number = read("int32", value)
        arguments.append((name, number if isinstance(number, int) else value))
    return arguments
