"""The file with the token that containers show for the role's credentials.

It stays the same over restarts, so that a program which was given it keeps getting credentials. No
line ends in it: clients send the whole file as a header.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from accel_daemon.home import write_private_file

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


def load_or_create_token(path: Path) -> str:
    """The token in a file of mode 0600, which is made, or made anew when something else is in it.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        text = path.read_text("ascii", errors="replace")
    except OSError:
        text = ""
    if not _TOKEN.fullmatch(text):
        text = secrets.token_urlsafe(32)
        write_private_file(path, text.encode())
    return text
