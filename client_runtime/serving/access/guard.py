"""Lets requests in, or tells the observer that one was refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

from client_runtime.serving.access.api_keys import check_models, identify, presented
from client_runtime.serving.access.asked_models import ANY_MODEL
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.access.room import Room
from client_runtime.serving.events import Observer, RequestRefused, nobody
from client_runtime.serving.servable import Caller
from client_runtime.serving.statuses import ServingError


class RefusedError(ServingError):
    """A request that is not let in.

    Attributes:
        key: name of its key; "" where it has none that is known.
    """

    def __init__(self, error: ServingError, key: str = "") -> None:
        super().__init__(error.status, error.message)
        self.key = key


class Guard:
    """Stands in both doors. Thread-safe.

    Args:
        keys: None: everyone may do everything.
        observe: told of refusals.
        room: for requests; by default there is enough for everyone.
    """

    def __init__(
        self,
        keys: KeyFile | None = None,
        observe: Observer = nobody,
        room: Room | None = None,
    ) -> None:
        self._keys, self._observe = keys, observe
        self._room = room or Room()

    def check(
        self, header: Callable[[str], str | None], models: Collection[str] | None = ANY_MODEL
    ) -> None:
        """Whether a request may come in; nobody is told.

        Args:
            header: the value of a header by its name in small letters.
            models: that the request is about; None for all; none where any key will do.

        Raises:
            RefusedError: it has no key, a wrong one, or one that is for other models.
        """
        if self._keys is None:
            return
        name = ""
        try:
            key = identify(self._keys.current(), presented(header))
            name = key.name
            check_models(key, models)
        except ServingError as error:
            raise RefusedError(error, name) from None

    def admit(
        self, header: Callable[[str], str | None], models: Collection[str] | None, caller: Caller
    ) -> None:
        """Let a request in; see `check`.

        Raises:
            RefusedError: see `check`; it was told.
        """
        try:
            self.check(header, models)
        except RefusedError as refusal:
            self.tell(refusal, caller)
            raise

    @contextlib.contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """A place for a request, until the end of the `with`.

        Raises:
            RefusedError: there is none (RESOURCE_EXHAUSTED); it was told.
        """
        with contextlib.ExitStack() as taken:
            try:
                taken.enter_context(self._room.place())
            except ServingError as error:
                refusal = RefusedError(error)
                self.tell(refusal, caller)
                raise refusal from None
            yield

    def tell(self, refusal: RefusedError, caller: Caller) -> None:
        """Tell the observer of a request that was refused."""
        self._observe(RequestRefused(caller, refusal.key, refusal.status))
