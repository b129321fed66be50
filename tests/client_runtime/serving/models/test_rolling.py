"""Version after version under load: no request fails, and memory comes back."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.client_runtime.serving.models.conftest import (
    Begin,
    MemoryLoader,
    configured,
    served,
    spec,
)
from tests.conftest import eventually

_VERSIONS = 20
_THREADS = 8


class _Load:
    """Threads that use a model all the time."""

    def __init__(self, catalog: object) -> None:
        self.failures: list[Exception] = []
        self.answers: set[int] = set()
        self._catalog, self._is_over = catalog, threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                self.answers.add(served(self._catalog, spec("m")))  # type: ignore[arg-type]
            except Exception as error:
                self.failures.append(error)

    def stop(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


def test_no_request_fails_while_versions_follow_each_other(
    begin: Begin, loader: MemoryLoader, tmp_path: Path
) -> None:
    """Each version answers; never are more than two alive, and one in the end."""
    (tmp_path / "1").mkdir()
    catalog = begin(configured(f"name: 'm' base_path: '{tmp_path}'"), poll_seconds=0.005)
    eventually(catalog.ready)
    load = _Load(catalog)
    for version in range(2, _VERSIONS + 1):
        (tmp_path / str(version)).mkdir()
        eventually(lambda version=version: version in load.answers)
    load.stop()
    assert load.failures == []
    assert load.answers == set(range(1, _VERSIONS + 1))
    assert loader.most["m"] == 2
    eventually(lambda: loader.alive["m"] == 1)


def test_versions_that_come_at_once_take_no_more_memory(
    begin: Begin, loader: MemoryLoader, tmp_path: Path
) -> None:
    """Those in between may be left out, and the last one answers."""
    (tmp_path / "1").mkdir()
    catalog = begin(configured(f"name: 'm' base_path: '{tmp_path}'"), poll_seconds=0.001)
    eventually(catalog.ready)
    load = _Load(catalog)
    for version in range(2, _VERSIONS + 1):
        (tmp_path / str(version)).mkdir()
    eventually(lambda: _VERSIONS in load.answers)
    load.stop()
    assert load.failures == []
    assert loader.most["m"] <= 2
    eventually(lambda: loader.alive["m"] == 1)
