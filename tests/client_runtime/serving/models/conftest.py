"""A loader whose servables hold nothing, and catalogs over it that are closed in the end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_protocol.errors import Status
from accel_protocol.tensors import Array
from client_runtime.serving.models.catalog import ServableCatalog
from client_runtime.serving.models.ledger import LoadRules
from client_runtime.serving.models.lifecycle import State
from client_runtime.serving.models.options import CatalogOptions
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.text_files import parse_text
from client_runtime.serving_wire.inference_pb2 import ModelSpec
from client_runtime.serving_wire.model_management_pb2 import ModelServerConfig
from tests.conftest import patience


@dataclass
class MemoryServable:
    """Answers with its version, until it is closed."""

    id: ServableId
    loader: MemoryLoader
    signatures: Mapping[str, Any] = field(default_factory=dict)
    is_closed: bool = False

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """The version; fails when closed."""
        if self.is_closed:
            raise ServingError(Status.UNAVAILABLE, f"{self.id} is closed")
        return {"version": np.array(self.id.version)}

    def close(self) -> None:
        """Not usable any more."""
        self.is_closed = True
        self.loader.count(self.id.name, -1)
        if self.loader.closes_badly:
            raise RuntimeError("a servable's own fault")


class MemoryLoader:
    """Loads what a folder says: a file `fault` there makes it fail with the file's text.

    Attributes:
        loads: every try of a load.
        alive: servables of a model at present.
        most: the most of them that ever were at once, since it was set.
        gates: a load of such a version waits until its gate opens, or it is cancelled.
        closes_badly: whether servables fail when they are closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.loads: list[ServableId] = []
        self.alive: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.gates: dict[ServableId, threading.Event] = {}
        self.closes_badly = False

    def load(self, id_: ServableId, folder: Path, bounds: Bounds) -> MemoryServable:
        """See Loader."""
        self.loads.append(id_)
        gate = self.gates.get(id_)
        while gate is not None and not gate.wait(0.01):
            if bounds.cancellation.cancelled:
                raise ServingError(Status.CANCELLED, "cancelled")
            bounds.left()
        if (folder / "fault").exists():
            raise ServingError(Status.NOT_FOUND, (folder / "fault").read_text())
        self.count(id_.name, +1)
        return MemoryServable(id_, self)

    def count(self, name: str, change: int) -> None:
        """A servable has come or gone."""
        with self._lock:
            self.alive[name] += change
            self.most[name] = max(self.most[name], self.alive[name])

    def gate(self, name: str, version: int) -> threading.Event:
        """Make loads of a version wait for what is returned."""
        return self.gates.setdefault(ServableId(name, version), threading.Event())


def config_of(text: str) -> ModelServerConfig:
    """A configuration of its text."""
    return parse_text("models.config", text, ModelServerConfig)


def configured(*models: str) -> ModelServerConfig:
    """A configuration from the inner text of each model."""
    configs = (f"config {{ {model} model_platform: 'tensorflow' }}" for model in models)
    return config_of(f"model_config_list {{ {' '.join(configs)} }}")


def spec(name: str, version: int | None = None, label: str | None = None) -> ModelSpec:
    """A model spec."""
    made = ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def served(catalog: ServableCatalog, wanted: ModelSpec) -> int:
    """The version that answers."""
    with catalog.use(wanted) as servable:
        return int(servable.run("", {}, Bounds())["version"])


def in_time() -> Bounds:
    """Bounds that a test can wait for."""
    return Bounds(time.monotonic() + patience(20))


Begin = Callable[..., ServableCatalog]


def model_at(root: Path, name: str, *versions: str | int, fault: str | None = None) -> str:
    """Make version folders, with a fault in each if there is one; the model's configuration."""
    for version in versions:
        folder = root / name / str(version)
        folder.mkdir(parents=True)
        if fault is not None:
            (folder / "fault").write_text(fault)
    return f"name: '{name}' base_path: '{root / name}'"


def settle(catalog: ServableCatalog) -> None:
    """Wait until all is served that is to be."""
    settled = catalog.wait_until_settled(time.monotonic() + patience(20))
    assert settled.is_good, settled.message()


def states_of(catalog: ServableCatalog, name: str) -> dict[int, str]:
    """The states of a model's versions; none of a model that is not known."""
    try:
        statuses = catalog.status(name, None).model_version_status
    except ServingError:
        return {}  # its base path has not been looked at yet
    return {status.version: State(status.state).name for status in statuses}


def refused(catalog: ServableCatalog, **wanted: object) -> tuple[Status, str]:
    """How a request for a servable is refused."""
    with pytest.raises(ServingError) as failure:
        served(catalog, spec(**wanted))  # type: ignore[arg-type]
    return failure.value.status, failure.value.message


@pytest.fixture
def loader() -> MemoryLoader:
    """A loader that has loaded nothing."""
    return MemoryLoader()


@pytest.fixture
def begin(loader: MemoryLoader) -> Iterator[Begin]:
    """Start a catalog over the loader; polls fast and retries at once unless told otherwise."""
    catalogs = []

    def make(
        config: ModelServerConfig, rules: LoadRules | None = None, **options: Any
    ) -> ServableCatalog:
        observe, told = options.pop("observe", None), options.pop("configured", None)
        check = options.pop("check", None)
        rules = rules or LoadRules(retries=1, retry_interval=0.0)
        chosen = CatalogOptions(**{"poll_seconds": 0.02, "rules": rules, **options})
        catalogs.append(ServableCatalog(config, loader, chosen, observe, told, check))
        catalogs[-1].start()
        return catalogs[-1]

    yield make
    for gate in loader.gates.values():
        gate.set()
    for catalog in catalogs:
        assert catalog.close(patience(5))
    assert not +loader.alive
