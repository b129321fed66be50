"""Errors as a person at a terminal should see them: what happened, what to do, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from accel_protocol.errors import AcceleratorError

_REMEDIES: tuple[tuple[type[Exception], str], ...] = (
    (KeyError, "Compare --input-name and --output-name with the tensors of the graph."),
    (TypeError, "Compare the inputs with the dtypes and shapes of the model's feeds."),
    (ValueError, "Correct the arguments; --help explains them."),
    (OSError, "Check the path, and that you may use it."),
)


@contextmanager
def told_as_messages() -> Iterator[None]:
    """Turn every error that a caller can do something about into click's: exit status 1.

    A closed pipe stays what it is: click ends the program quietly then.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except AcceleratorError as error:
        raise click.ClickException(str(error)) from error
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise click.ClickException(message_of(error)) from error


def message_of(error: Exception) -> str:
    """An error's own words and a remedy for its kind."""
    # str() of a KeyError is the repr of its text.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    remedy = next(words for kind, words in _REMEDIES if isinstance(error, kind))
    return f"{text or type(error).__name__}\n  Remedy: {remedy}"


def as_fields(error: AcceleratorError) -> dict[str, str]:
    """An error for a document that a program reads."""
    return {"reason": error.reason, "message": error.message, "remedy": error.remedy}
