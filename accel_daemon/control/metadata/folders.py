"""Metadata as a tree of folders and texts, looked up and listed as EC2 does it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Folder:
    """What lies in one folder.

    Attributes:
        entries: texts and further folders, in the order in which they are listed.
        unlisted: texts that are there and not in the listing.
        marks_folders: whether the listing ends folders' names with "/".
    """

    entries: Mapping[str, Folder | str]
    unlisted: Mapping[str, str] = field(default_factory=dict)
    marks_folders: bool = True

    def listing(self) -> str:
        """The names, one a line."""
        return "\n".join(
            f"{name}/" if self.marks_folders and isinstance(entry, Folder) else name
            for name, entry in self.entries.items()
        )


def look_up(root: Folder, path: str) -> str | None:
    """The text at a path, or a folder's listing; None when there is nothing.

    Args:
        root: where the path starts.
        path: names between slashes. A slash at the end makes no difference: clients ask for texts
            with one and for folders without.
    """
    names = path.removeprefix("/").removesuffix("/").split("/")
    here: Folder | str | None = root
    for name in names if names != [""] else ():
        if not isinstance(here, Folder):
            return None
        here = here.entries.get(name, here.unlisted.get(name))
    return here.listing() if isinstance(here, Folder) else here
