"""Which folders are versions of a model, and which of these are to be served.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from client_runtime.serving_wire import model_management_pb2

Policy = model_management_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy

_NUMBER = re.compile(r"[0-9]+", re.ASCII)
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Choice:
    """Versions by number, each with its folder's name, and what should be warned of."""

    folders: Mapping[int, str]
    warnings: tuple[str, ...] = ()


def version_of(folder: str) -> int | None:
    """The version that a folder's name means, None where it means none; 0007 is 7."""
    digits = folder.lstrip("0") or "0"
    if not _NUMBER.fullmatch(folder) or len(digits) > len(str(_LARGEST)):
        return None
    number = int(digits)
    return number if number <= _LARGEST else None


def by_version(folders: Iterable[str]) -> Choice:
    """Folders that are versions; of two names for one number the later in sort order counts."""
    found: dict[int, str] = {}
    warnings = []
    for folder in sorted(set(folders)):
        if (version := version_of(folder)) is None:
            continue
        if version in found:
            warnings.append(
                f"Duplicate version directories detected. Version {version} will be loaded from "
                f"{folder}, {found[version]} will be ignored."
            )
        found[version] = folder
    return Choice(found, tuple(warnings))


def chosen(model: str, policy: Policy, folders: Iterable[str]) -> Choice:
    """What of a base path's folders is to be served under a policy; no policy: the latest one."""
    there = by_version(folders)
    wanted = _wanted(policy, there.folders)
    missing = () if wanted is None else sorted(wanted - there.folders.keys())
    warnings = there.warnings + tuple(
        f"Version {version} of servable {model}, which was requested to be served as a 'specific' "
        "version in the servable's version policy, was not found in the file system"
        for version in missing
    )
    kept = {v: f for v, f in there.folders.items() if wanted is None or v in wanted}
    return Choice(kept, warnings)


def _wanted(policy: Policy, there: Mapping[int, str]) -> set[int] | None:
    """The versions that the policy names, there or not; None: all that are there."""
    match policy.WhichOneof("policy_choice"):
        case "all":
            return None
        case "specific":
            return set(policy.specific.versions)
        case _:
            return set(sorted(there, reverse=True)[: max(policy.latest.num_versions, 1)])
