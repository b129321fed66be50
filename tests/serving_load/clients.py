"""Clients that ask without end, half of them by gRPC and half by REST."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from client_runtime.serving_client import ServingClient, ServingClientError
from tests.conftest import patience
from tests.serving_load.server import ModelServer

_HTTP = {200: "OK", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


@dataclass(frozen=True)
class Outcome:
    """How a request ended.

    Attributes:
        door: "gRPC" or "REST".
        status: gRPC's name of it; "WRONG" for an answer that is none of the model's.
        began: on the monotonic clock.
        seconds: that it took.
    """

    door: str
    status: str
    began: float
    seconds: float

    @property
    def ended(self) -> float:
        """On the monotonic clock."""
        return self.began + self.seconds


class Load:
    """Asks a model of `numbered_model` inside the `with`, and keeps how each request ended.

    Args:
        server: which is asked.
        model: its name.
        clients: how many ask at a time.
        deadline: seconds that a request by gRPC may take; REST's is a flag of the server.
        pause: seconds of each client between two requests.
    """

    def __init__(
        self,
        server: ModelServer,
        model: str,
        *,
        clients: int = 8,
        deadline: float = 10.0,
        pause: float = 0.005,
    ) -> None:
        self._server, self._model = server, model
        self._deadline, self._pause = deadline, pause
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(clients)
        self._clients = clients
        self._asking: list[Future[None]] = []
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Self:
        asks = self._ask_grpc, self._ask_rest
        self._asking = [
            self._threads.submit(self._ask, ("gRPC", "REST")[n % 2], asks[n % 2])
            for n in range(self._clients)
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._threads.shutdown()
        for one in self._asking:
            one.result()

    def counts(self) -> Counter[tuple[str, str]]:
        """How many requests ended how, by door and status."""
        return Counter((one.door, one.status) for one in list(self.outcomes))

    def good_since(self, moment: float) -> int:
        """How many requests that began after this moment were answered."""
        return sum(one.status == "OK" and one.began > moment for one in list(self.outcomes))

    def _ask(self, door: str, make: Any) -> None:
        with make() as ask:
            count = 0
            while not self._stop.wait(self._pause):
                count += 1
                x, began = float(count % 100), time.monotonic()
                status = ask(x)
                self.outcomes.append(Outcome(door, status, began, time.monotonic() - began))

    def _ask_grpc(self) -> _GrpcAsker:
        return _GrpcAsker(self._server.port, self._model, self._deadline)

    def _ask_rest(self) -> _RestAsker:
        return _RestAsker(self._server.rest_port, self._model)


class _GrpcAsker:
    def __init__(self, port: int, model: str, deadline: float) -> None:
        self._client = ServingClient(f"127.0.0.1:{port}", timeout=deadline, cast=False)
        self._model = model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def __call__(self, x: float) -> str:
        try:
            answer = self._client.predict(self._model, {"x": np.float32([x])})
        except ServingClientError as error:
            return error.status
        number = float(answer["number"][0])
        return "OK" if number >= 1 and answer["y"].tolist() == [number * x] else "WRONG"


class _RestAsker:
    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(60))
        self._path = f"/v1/models/{model}:predict"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def __call__(self, x: float) -> str:
        try:
            self._connection.request("POST", self._path, json.dumps({"inputs": [x]}))
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return type(error).__name__
        if response.status != 200:
            return _HTTP.get(response.status, str(response.status))
        answer = json.loads(body)["outputs"]
        number = float(response.headers["X-Model-Version"])
        return "OK" if answer == {"y": [number * x], "number": [number]} else "WRONG"
