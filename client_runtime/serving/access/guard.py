"""Lets requests in, or tells the observer that one was refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

from client_runtime.serving.access.api_keys import check_models, identify, presented
from client_runtime.serving.access.asked_models import ANY_MODEL
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.access.room import Room
from client_runtime.serving.events import Observer, RequestRefused, nobody
from client_runtime.serving.statuses import ServingError


class Guard:
    """Stands in each door. Thread-safe.

    Args:
        door: "GRPC" or "REST", for the observer.
        keys: None: everyone may do everything.
        observe: told of refusals.
        room: of both doors; by default there is room for everyone.
    """

    def __init__(
        self,
        door: str,
        keys: KeyFile | None = None,
        observe: Observer = nobody,
        room: Room | None = None,
    ) -> None:
        self._door, self._keys, self._observe = door, keys, observe
        self._room = room or Room()

    def admit(
        self, header: Callable[[str], str | None], models: Collection[str] | None = ANY_MODEL
    ) -> None:
        """Let a request in.

        Args:
            header: the value of a header by its name in small letters.
            models: that the request is about; None for all; none where any key will do.

        Raises:
            ServingError: it has no key, a wrong one, or one that is for other models.
        """
        if self._keys is None:
            return
        name = ""
        try:
            key = identify(self._keys.current(), presented(header))
            name = key.name
            check_models(key, models)
        except ServingError as refusal:
            self._observe(RequestRefused(self._door, name, refusal.status))
            raise

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place for a request, until the end of the `with`.

        Raises:
            ServingError: there is none (RESOURCE_EXHAUSTED).
        """
        with contextlib.ExitStack() as taken:
            try:
                taken.enter_context(self._room.place())
            except ServingError as refusal:
                self._observe(RequestRefused(self._door, "", refusal.status))
                raise
            yield
