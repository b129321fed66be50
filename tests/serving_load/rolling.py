"""One version after the other, under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from client_runtime import connect
from client_runtime.serving_client import ServingClient
from tests.conftest import eventually
from tests.serving_load.server import ModelServer

_ALIVE = {"LOADING", "AVAILABLE", "UNLOADING"}
_EVERY = 0.05


@dataclass
class Watched:
    """What was seen meanwhile.

    Attributes:
        most_alive: versions at one time that were loaded, or about to be, or not gone yet.
        memory: of the accelerator's process, in bytes, before, at most and after.
        graphs_before, graphs_after: how many this process's principal has there.
        seconds: that all of it took.
    """

    most_alive: int = 0
    memory: list[int] = field(default_factory=lambda: [0, 0, 0])
    graphs_before: int = 0
    graphs_after: int = 0
    seconds: float = 0.0


def roll(
    server: ModelServer, model: str, numbers: range, add: Callable[[int], Path | None]
) -> Watched:
    """Let these versions come one after the other; returns when only the last one is there.

    This process has to be a client of the same accelerator.

    Args:
        server: serves the model, of which there is one version.
        model: its name.
        numbers: of the versions to come.
        add: puts a version there where the server looks for it.
    """
    watched, began = Watched(), time.monotonic()
    watched.memory[0], watched.graphs_before = held()
    with ServingClient(f"127.0.0.1:{server.port}") as client, _watching(client, model, watched):
        for number in numbers:
            add(number)
            eventually(lambda number=number: _is_alone(client, model, number), 60)
    watched.memory[2], watched.graphs_after = held()
    watched.seconds = time.monotonic() - began
    return watched


def held() -> tuple[int, int]:
    """Resident memory of the accelerator's process, in bytes, and how many graphs are loaded."""
    with connect() as attachment:
        answer = attachment.list()
    return answer.process.memory_bytes, len(answer.graphs)


def _is_alone(client: ServingClient, model: str, number: int) -> bool:
    states = {one.version: one.state for one in client.status(model)}
    return [n for n, state in states.items() if state in _ALIVE] == [number] and (
        states[number] == "AVAILABLE"
    )


@contextmanager
def _watching(client: ServingClient, model: str, watched: Watched) -> Iterator[None]:
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_EVERY):
            alive = sum(one.state in _ALIVE for one in client.status(model))
            watched.most_alive = max(watched.most_alive, alive)
            watched.memory[1] = max(watched.memory[1], held()[0])

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
