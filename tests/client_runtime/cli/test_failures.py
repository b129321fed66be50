"""Errors as messages."""

from __future__ import annotations

import click
import pytest

from accel_protocol.errors import BusyError, FeedError
from client_runtime.cli.failures import told_as_messages


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("The name 'x' refers to nothing."), "The name 'x' refers to nothing."),
        (ValueError("contradiction"), "contradiction"),
        (TypeError("no integer"), "no integer"),
        (FileNotFoundError(2, "No such file", "a.npy"), "a.npy"),
        (ValueError(), "ValueError"),
        (FeedError("wrong", remedy="do this"), "do this"),
        (BusyError("taken", request_id="id-7"), "id-7"),
    ],
)
def test_every_kind_has_message_and_remedy(error: Exception, says: str) -> None:
    """What happened and what to do, and nothing of Python."""
    with pytest.raises(click.ClickException) as caught, told_as_messages():
        raise error

    assert says in caught.value.message
    assert "Remedy: " in caught.value.message
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("error", [BrokenPipeError(32, "pipe"), AssertionError("a defect")])
def test_others_stay_what_they_are(error: Exception) -> None:
    """A closed pipe is click's business, and a defect keeps its traceback."""
    with pytest.raises(type(error)), told_as_messages():
        raise error
