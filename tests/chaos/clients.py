"""Clients: each one a thread that does its planned actions, and writes down what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from accel_protocol.errors import AcceleratorError
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime import EIPredictor
from client_runtime.models.model import open_model
from client_runtime.models.selection import Choice
from client_runtime.transport.exchange import Call
from tests.chaos import graphs
from tests.chaos.history import OK, History
from tests.chaos.plan import POOL, Action
from tests.chaos.world import World, accelerator_of
from tests.conftest import patience

_NAMES = {"input_names": {"x": "x:0"}, "output_names": {"y": "y:0"}}
_ENDLESS = 1 << 40
Verdict = tuple[bool, int | None, str]


class Client(threading.Thread):
    """One client; see the module.

    Args:
        number: decides which accelerator and key it has.
        world: where.
        script: its actions.
        folder: for the graphs that it makes; those of the pool are shared.
        shared: the folder of "pool-N.pb", "loop" and "count".
    """

    def __init__(
        self, number: int, world: World, script: Iterator[Action], folder: Path, shared: Path
    ) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.number, self._world, self._script = number, world, script
        self._folder, self._shared = folder, shared
        self._ending = threading.Event()
        self._key = world.keys[number]
        self._attachment = world.attach(number, self._key)
        self._predictors: dict[str, EIPredictor] = {}
        self.defect: BaseException | None = None

    @property
    def _history(self) -> History:
        return self._world.history

    def run(self) -> None:
        """Do one action after the other until `end`."""
        try:
            while not self._ending.is_set():
                self._take_new_key()
                action = next(self._script)
                getattr(self, f"_{action.kind}")(action)
        except BaseException as error:
            self.defect = error
            raise

    def end(self) -> None:
        """After the present action."""
        self._ending.set()

    def unload_all(self) -> None:
        """Unload whatever graphs the accelerator has loaded, as nothing else does."""
        for graph in self._attachment.list().graphs:
            self._attachment._call("Unload", pb.UnloadRequest(graph_id=graph.graph_id), _patient())

    def close(self) -> None:
        """Close the connection, and end the threads of the predictors."""
        self._attachment.close()
        for predictor in self._predictors.values():
            predictor.close()
        self._predictors.clear()

    def reopen(self) -> None:
        """Open another one."""
        self._begin_anew()

    def serve(self, give_up_at: float) -> float | None:
        """Make one right call succeed; the seconds that this took, None when none did."""
        begun = time.monotonic()
        action = Action("count" if "count" in self._predictors else "run", 0, 0.5)
        while time.monotonic() < give_up_at:
            self._take_new_key()
            if getattr(self, f"_{action.kind}")(action) == OK:
                return time.monotonic() - begun
            time.sleep(0.1)
        return None

    def do(self, action: Action) -> None:
        """Do an action, while nothing goes wrong; its outcome is in the history."""
        getattr(self, f"_{action.kind}")(action)

    def _take_new_key(self) -> None:
        """A key that was revoked is replaced: then everything begins anew, as in a new process."""
        key = self._world.keys[self.number]
        if key != self._key:
            self._key = key
            self._begin_anew()

    def _begin_anew(self) -> None:
        self.close()
        self._attachment = self._world.attach(self.number, self._key)

    def _predictor(self, name: str) -> EIPredictor:
        if name not in self._predictors:
            path = self._shared / name
            if not path.exists():
                path = self._folder / name
            names: dict[str, Any] = _NAMES if name.endswith(".pb") else {}
            self._predictors[name] = EIPredictor(path, attachment=self._attachment, **names)
        return self._predictors[name]

    def _request(
        self, action: str, graph: str, timeout: float, work: Callable[[int], Verdict]
    ) -> str:
        """Do work for a request, and write down its outcome."""
        accelerator = accelerator_of(self.number)
        key_id = self._key.access_key_id
        number = self._history.begin(self.number, accelerator, key_id, action, graph, timeout)
        try:
            right, value, detail = work(number)
        except AcceleratorError as error:
            self._history.end(number, error.reason, detail=f"{error.message[:200]}")
            return error.reason
        except TimeoutError:
            self._history.end(number, "CANCELLED")
            return "CANCELLED"
        except Exception as error:
            self._history.end(number, f"untyped {type(error).__name__}", detail=str(error)[:300])
            return "untyped"
        self._history.end(number, OK, right, value, detail)
        return OK

    def _matrix(self, action: str, number: int, name: str, timeout: float) -> str:
        def work(request: int) -> Verdict:
            got = self._predictor(name)(graphs.feeds(request), timeout=timeout)["y"]
            right = np.array_equal(got, graphs.answer(number, request))
            return right, None, "" if right else f"{np.asarray(got).flat[:4]}"

        return self._request(action, name, timeout, work)

    def _run(self, action: Action) -> str:
        return self._matrix("run", action.graph, f"pool-{action.graph}.pb", _patient())

    def _upload(self, action: Action) -> str:
        name = f"graph-{action.graph}.pb"
        path = graphs.matrix_graph(self._folder / name, action.graph)
        try:
            return self._matrix("upload", action.graph, name, _patient())
        finally:
            self._predictors.pop(name, None)
            path.unlink()

    def _steps(self, action: str, steps: int, timeout: float) -> str:
        def work(_: int) -> Verdict:
            count = int(
                self._predictor("loop")({"steps": np.int64(steps)}, timeout=timeout)["count"]
            )
            return count == steps, None, f"{count} of {steps}"

        return self._request(action, "loop", timeout, work)

    def _loop(self, action: Action) -> str:
        return self._steps("loop", 1 + int(action.amount * 20_000), _patient())

    def _deadline(self, action: Action) -> str:
        return self._steps("deadline", _ENDLESS, 0.02 + action.amount)

    def _cancel(self, action: Action) -> str:
        async def cancelled() -> None:
            call = self._predictor("loop").predict_async({"steps": np.int64(_ENDLESS)})
            await asyncio.wait_for(call, 0.01 + action.amount)

        def work(_: int) -> Verdict:
            asyncio.run(cancelled())
            return False, None, "a loop without end has ended"

        return self._request("cancel", "loop", 2, work)

    def _count(self, action: Action) -> str:
        def work(_: int) -> Verdict:
            feeds = {"x": np.ones((1, 4), np.float32)}
            return True, int(self._predictor("count")(feeds, timeout=_patient())["calls"]), ""

        return self._request("count", "count", _patient(), work)

    def _present(self, action: Action) -> str:
        """Run without sending anything, what a list says is loaded."""
        name = f"pool-{action.graph}.pb"
        bundle = open_model(
            self._shared / name, Choice(None, None, *_NAMES.values(), None)
        ).bundle()
        listed: list[bytes] = []

        def look(_: int) -> Verdict:
            listed.extend(graph.graph_id for graph in self._attachment.list().graphs)
            return True, None, ""

        def work(request: int) -> Verdict:
            call = Call(bundle.graph_id, graphs.feeds(request), time.monotonic() + _patient())
            got = self._attachment.run(call, repeatable=True).fetches["y"]
            return np.array_equal(got, graphs.answer(action.graph, request)), None, ""

        outcome = self._request("list", "all", _patient(), look)
        if bundle.graph_id in listed:
            outcome = self._request("present", name, _patient(), work)
        return outcome

    def _unload(self, action: Action) -> str:
        is_counter = "count" in self._predictors
        name = "count" if is_counter else f"pool-{action.graph}.pb"
        choice = Choice(None, None, None, None, None)
        if not is_counter:
            choice = Choice(None, None, *_NAMES.values(), None)
        graph_id = open_model(self._shared / name, choice).bundle().graph_id

        def work(_: int) -> Verdict:
            self._attachment._call("Unload", pb.UnloadRequest(graph_id=graph_id), _patient())
            return True, None, ""

        with self._history.lasting("unload", accelerator_of(self.number), name):
            return self._request("unload", name, _patient(), work)

    def _reconnect(self, action: Action) -> str:
        with contextlib.suppress(AcceleratorError):
            self._begin_anew()
        return OK

    def _pause(self, action: Action) -> str:
        time.sleep(action.amount / 5)
        return OK


def _patient() -> float:
    """Seconds that a call is given: longer than a process takes to start again."""
    return patience(40)


def make_shared(folder: Path) -> Path:
    """Make the graphs that clients share."""
    folder.mkdir()
    for number in range(POOL):
        graphs.matrix_graph(folder / f"pool-{number}.pb", number)
    graphs.looping_graph(folder / "loop")
    graphs.counting_graph(folder / "count")
    return folder
