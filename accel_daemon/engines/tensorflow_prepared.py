"""A small graph, run by TensorFlow in its caller's own thread.

Session.run puts the arguments of each call together anew and hands the graph to other threads. For
a small graph that takes ten times as long as computing it. A callable that is prepared once and
told to use no other threads leaves both out.

TensorFlow cannot stop such a run, so this is only for graphs of which the shapes of their feeds say
how long they take, and that take little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorflow.core.protobuf import config_pb2

from accel_protocol.tensors import Array

_CALLER = -1
"""The number of the pool of threads that stands for the caller's thread."""


class PreparedModel:
    """One graph. `run` may be called from several threads at once.

    Args:
        session: of the graph; it has to stay open.
        feeds, fetches: names of its tensors. None is fed and fetched.
    """

    least_seconds = 0.1
    """A run with less time than this cannot be stopped in time."""

    def __init__(self, session: Any, feeds: Sequence[str], fetches: Sequence[str]) -> None:
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        options.run_options.inter_op_thread_pool = _CALLER
        self._call = session._make_callable_from_options(options)

    def run(self, feeds: Sequence[Array], timeout: float | None) -> list[Array]:
        """All fetches, in their order.

        Args:
            feeds: in their order, of the dtypes that the graph has.
            timeout: of no effect.

        Raises:
            OpError, RuntimeError: TensorFlow failed, or the Session was closed.
        """
        answer: list[Array] = self._call(*feeds)
        return answer

    def close(self) -> None:
        """The Session's end is its."""
