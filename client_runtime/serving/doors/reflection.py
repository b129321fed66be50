"""gRPC's reflection, whose streams end when the server does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from client_runtime.serving_wire.pool import POOL

NAME = reflection.SERVICE_NAME
DESCRIPTION = reflection_pb2


class Reflection(reflection.ReflectionServicer):  # type: ignore[misc]
    """Describes services of these names. A client may hold its stream open as long as it likes."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__([*names, NAME], pool=POOL)
        self._lock = threading.Lock()
        self._streams: set[grpc.ServicerContext] = set()

    def add_to(self, server: grpc.Server) -> None:
        """Serve it."""
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(self, server)

    def ServerReflectionInfo(  # noqa: N802 - gRPC's
        self, request_iterator: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """See grpc.reflection.v1alpha."""
        with self._lock:
            self._streams.add(context)
        try:
            yield from super().ServerReflectionInfo(request_iterator, context)
        finally:
            with self._lock:
                self._streams.discard(context)

    def end(self) -> None:
        """Cancel the streams, which would keep the server waiting."""
        with self._lock:
            streams = tuple(self._streams)
        for context in streams:
            context.cancel()
