"""The signatures that a server told, until it serves another version. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable

from client_runtime.serving_client.specs import ModelMetadata
from client_runtime.serving_wire import inference_pb2

Key = tuple[str, int | None, str]
Fetch = Callable[[inference_pb2.ModelSpec, float | None], ModelMetadata]


def _key(spec: inference_pb2.ModelSpec) -> Key:
    """What requests for the same signatures have in common."""
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


class SignatureCache:
    """Asks once for each model and way to name its version.

    Args:
        fetch: asks the server, within so many seconds.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._known: dict[Key, ModelMetadata] = {}

    def get(self, spec: inference_pb2.ModelSpec, timeout: float | None) -> ModelMetadata:
        """What is known, or else what the server says.

        Raises:
            ServingClientError: the server has to be asked, and does not tell.
        """
        with self._lock:
            known = self._known.get(_key(spec))
        return known or self._ask(spec, timeout)

    def changed(
        self, spec: inference_pb2.ModelSpec, known: ModelMetadata, timeout: float | None
    ) -> ModelMetadata | None:
        """What the server says now, None where that is what was known.

        Raises:
            ServingClientError: it does not tell.
        """
        fresh = self._ask(spec, timeout)
        return fresh if fresh.signatures != known.signatures else None

    def answered(self, spec: inference_pb2.ModelSpec, version: int) -> None:
        """Forget what is known where another version than that has answered."""
        with self._lock:
            known = self._known.get(_key(spec))
            if known is not None and version and known.version != version:
                del self._known[_key(spec)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()

    def _ask(self, spec: inference_pb2.ModelSpec, timeout: float | None) -> ModelMetadata:
        metadata = self._fetch(spec, timeout)
        with self._lock:
            self._known[_key(spec)] = metadata
        return metadata
