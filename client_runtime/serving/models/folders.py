"""What is on the disk: the version folders of a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from client_runtime.serving.models.config_rules import folder_of
from client_runtime.serving.models.versions import chosen
from client_runtime.serving_wire.model_management_pb2 import ModelConfig


@dataclass(frozen=True)
class View:
    """What a look at a base path brought.

    Attributes:
        versions: folders by version; None: it could not be looked at, which changes nothing.
        trouble: why there are none, "" when there are some.
        warnings: of those that there are.
    """

    versions: Mapping[int, Path] | None
    trouble: str = ""
    warnings: tuple[str, ...] = ()


def look(model: ModelConfig) -> View:
    """Look for the versions of a model that are to be served."""
    base_path = folder_of(model)
    try:
        found = _folders(base_path)
    except OSError as error:
        return View(None, _unreadable(model, base_path, error))
    choice = chosen(model.name, model.model_version_policy, found)
    trouble = "" if choice.folders else _empty(model)
    where = {number: base_path / name for number, name in choice.folders.items()}
    return View(where, trouble, choice.warnings)


def _folders(base_path: Path) -> list[str]:
    """The names of the folders in a base path; of links too that lead to folders."""
    with os.scandir(base_path) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def _unreadable(model: ModelConfig, base_path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"Could not find base path {model.base_path} for servable {model.name} with error "
            f"NOT_FOUND: {base_path} not found"
        )
    return (
        f"Could not read base path {model.base_path} for servable {model.name} with error "
        f"{error.strerror}"
    )


def _empty(model: ModelConfig) -> str:
    return (
        f"No versions of servable {model.name} found under base path {model.base_path}. Did you "
        "forget to name your leaf directory as a number (eg. '/1/')?"
    )
