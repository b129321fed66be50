"""Keep the accelerators' tags in one file, so that they outlive the daemon: a thin shell.

Only the running daemon, which holds the lock of its home, reads and writes it. Each change replaces
the whole file in one rename, so after a crash it is the old one or the new one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from accel_protocol.errors import ConfigurationError, InternalError
from accel_protocol.private_files import replace_file

Tags = Mapping[str, str]
_MAX_FILE_BYTES = 64 * 1024 * 1024


class TagStore:
    """The tags of all accelerators that ever had some; an accelerator keeps its id and its tags."""

    def __init__(self, path: Path) -> None:
        """Read the file; a missing one holds no tags.

        Raises:
            ConfigurationError: the file cannot be read or understood.
        """
        self._path = path
        self._tags: dict[str, Tags] = _read(path)

    def get(self, accelerator_id: str) -> Tags:
        """The tags of one accelerator; not to be changed."""
        return MappingProxyType(dict(self._tags.get(accelerator_id, {})))

    def replace(self, accelerator_id: str, tags: Tags) -> None:
        """Give an accelerator these tags instead of those it had; when it returns, they are kept.

        Raises:
            InternalError: they cannot be written; all is as before.
        """
        changed = {**self._tags, accelerator_id: dict(tags)}
        if not tags:
            del changed[accelerator_id]
        content = json.dumps({"version": 1, "tags": changed}, default=dict, indent=1)
        try:
            replace_file(self._path, content.encode())
        except OSError:
            raise InternalError("The daemon could not keep the tags.") from None
        self._tags = changed


def _read(path: Path) -> dict[str, Tags]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            document = json.loads(file.read(_MAX_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unusable(f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise _unusable("is not JSON") from None
    return _checked(document)


def _checked(document: object) -> dict[str, Tags]:
    if not isinstance(document, dict) or document.get("version") != 1:
        raise _unusable("is of another version of this program")
    tags = document.get("tags")
    if not isinstance(tags, dict) or not all(_is_tags(one) for one in tags.values()):
        raise _unusable("does not hold tags")
    return dict(tags)


def _is_tags(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def _unusable(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"The file of the tags {problem}.", remedy="Repair daemon/tags.json, or remove it."
    )
