"""What runs of one graph cost, worked out once for each set of feed shapes."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping

from accel_daemon.engines.engine import Cost, Graph

_MOST_KEPT = 256
_log = logging.getLogger(__name__)
Shapes = Mapping[str, tuple[int, ...] | None]


class RunCosts:
    """The costs of one graph's runs. Belongs to one event loop."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tasks: OrderedDict[object, asyncio.Future[Cost | None]] = OrderedDict()

    async def of(self, shapes: Shapes) -> Cost | None:
        """The cost of a run with feeds of these shapes; None where it cannot be told."""
        key = tuple(sorted(shapes.items()))
        if key not in self._tasks:
            self._tasks[key] = asyncio.ensure_future(asyncio.to_thread(self._work_out, shapes))
        self._tasks.move_to_end(key)
        if len(self._tasks) > _MOST_KEPT:
            self._tasks.popitem(last=False)
        # Shielded, because others may wait for the same answer when one caller gives up.
        return await asyncio.shield(self._tasks[key])

    async def at_least(self) -> Cost | None:
        """The cost of a run of all feeds where every unknown size is 1."""
        return await self.of(
            {
                alias: None if spec.shape is None else tuple(abs(size) for size in spec.shape)
                for alias, spec in self._graph.feeds.items()
            }
        )

    def _work_out(self, shapes: Shapes) -> Cost | None:
        try:
            return self._graph.cost(shapes)
        except Exception:  # A figure that is missing must not keep a run from its answer.
            _log.exception("the cost of a run could not be told")
            return None
