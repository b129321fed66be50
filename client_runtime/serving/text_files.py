"""Configuration files in protobuf's text form."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.pool import POOL

M = TypeVar("M", bound=Message)
# Line and column, and the whole line where Python's protobuf repeats it.
_PLACE_AND_LINE = re.compile(r"^\d+:\d+ : ('.*?': (?=[A-Z]))?", re.DOTALL)


class TextFileError(ServingError):
    """A file that is not the text form of its message.

    Attributes:
        detail: where and why, as protobuf says it.
    """

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(Status.INVALID_ARGUMENT, f"Invalid protobuf file: '{path}'")
        self.detail = detail


def read_text_file(path: str, kind: type[M], *, is_secret: bool = False) -> M:
    """The message in a file.

    Args:
        path: of the file.
        kind: the message's class.
        is_secret: whether no word of the file may get into messages.

    Raises:
        TextFileError: it is none of this kind.
        ServingError: it cannot be read.
    """
    try:
        text = Path(path).read_bytes().decode()
    except FileNotFoundError:
        raise ServingError(Status.NOT_FOUND, f"{path}; No such file or directory") from None
    except OSError as error:
        raise ServingError(
            Status.FAILED_PRECONDITION, f"{path} cannot be read: {error.strerror}"
        ) from None
    except UnicodeDecodeError:
        raise invalid(f"Invalid protobuf file: '{path}'") from None
    return parse_text(path, text, kind, is_secret=is_secret)


def parse_text(path: str, text: str, kind: type[M], *, is_secret: bool = False) -> M:
    """The message of a text.

    Args:
        path: of its file, for messages.
        text: the text form.
        kind: the message's class.
        is_secret: as in `read_text_file`.

    Raises:
        TextFileError: it is none of this kind.
    """
    message = kind()
    try:
        text_format.Parse(text, message, descriptor_pool=POOL)
    except text_format.ParseError as error:
        raise TextFileError(path, _detail(error, kind, is_secret)) from None
    return message


def _detail(error: text_format.ParseError, kind: type[Message], is_secret: bool) -> str:
    """What protobuf's C++ library writes, less the line itself."""
    place = f"{error.GetLine() or 1}:{error.GetColumn() or 1}"
    reason = _PLACE_AND_LINE.sub("", str(error), count=1)
    if is_secret:
        reason = "It cannot be read (what it says is kept back, for it may hold a key)."
    return f"Error parsing text-format {kind.DESCRIPTOR.full_name}: {place}: {reason}"
