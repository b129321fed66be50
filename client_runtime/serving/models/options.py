"""How a catalog behaves: what the server's flags say about models."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from client_runtime.serving.models.labels import LabelRule
from client_runtime.serving.models.ledger import LoadRules


@dataclass(frozen=True)
class CatalogOptions:
    """Seconds where nothing else is said.

    Attributes:
        poll_seconds: between two looks at the base paths; 0: once at start and once per
            configuration; negative: never.
        config_file: read again every `config_poll_seconds`; None: never. The catalog's first
            configuration does not come from here.
        config_poll_seconds: 0 or less: never.
        load_threads: loads at the same time; 0: four per CPU.
        unload_threads: unloads at the same time; 0: four per CPU.
        load_seconds: that one try of a load may take; None: however long it takes.
        label_rule: when labels may be given to versions that are not available.
        serve_what_is_ready: models that fail or have no versions are not waited for.
        rules: how loads and unloads go.
    """

    poll_seconds: float = 1.0
    config_file: Path | None = None
    config_poll_seconds: float = 0.0
    load_threads: int = 0
    unload_threads: int = 0
    load_seconds: float | None = None
    label_rule: LabelRule = LabelRule.AVAILABLE_ONLY
    serve_what_is_ready: bool = False
    rules: LoadRules = field(default_factory=LoadRules)


def threads(asked: int) -> int:
    """How many threads a number of threads stands for."""
    return asked if asked > 0 else 4 * (os.cpu_count() or 1)
