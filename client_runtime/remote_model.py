"""A model that runs on an accelerator: sent when it is missing there, found when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future

from accel_protocol.errors import AcceleratorError, ModelMissingError
from accel_protocol.tensors import Array
from client_runtime import ei_errors
from client_runtime.models.bundle import Bundle
from client_runtime.models.model import Model
from client_runtime.transport.attachment import Attachment
from client_runtime.transport.exchange import Answer, Call, Cancellation

_MISSING_REPEATS = 3


class RemoteModel:
    """One model on whichever accelerator `connect` attaches to. Thread-safe.

    Args:
        model: what to run.
        connect: makes the connection, at the first run.
        attachment: an open connection of the caller's to use instead; it is never closed here.
        bundle: the model's, where the caller has read its files already.
    """

    def __init__(
        self,
        model: Model,
        connect: Callable[[], Attachment],
        attachment: Attachment | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self._model, self._connect = model, connect
        self._attachment, self._owned = attachment, attachment is None
        self._bundle = bundle
        self._lock = threading.Lock()
        self._repeatable = False
        self.uploaded_bytes = 0

    def run(
        self,
        feeds: Mapping[str, Array],
        give_up_at: float | None = None,
        cancellation: Cancellation | None = None,
    ) -> Answer:
        """One inference; see `Call` for the arguments.

        Raises:
            AcceleratorError: see `Attachment.run`; its text ends with the block of `ei_errors`
                where the original had one.
            OSError: a file of the model can no longer be read.
        """
        try:
            return self._run(feeds, give_up_at, cancellation)
        except AcceleratorError as error:
            attachment = self._attachment
            ei_errors.add_block(error, attachment.known_accelerator_id if attachment else None)
            raise

    def _run(
        self,
        feeds: Mapping[str, Array],
        give_up_at: float | None,
        cancellation: Cancellation | None,
    ) -> Answer:
        attachment, bundle = self._ready()
        call = Call(bundle.graph_id, feeds, give_up_at, cancellation)
        missing: ModelMissingError | None = None
        for _ in range(1 + _MISSING_REPEATS):
            try:
                if missing is not None:
                    self._send(attachment, bundle, call)
                answer = attachment.run(call, repeatable=self._repeatable)
            except ModelMissingError as error:
                # Evicted between sending, loading and running, at worst; never for ever.
                missing = error
            else:
                self._repeatable = answer.repeatable
                return answer
        assert missing is not None
        raise missing

    def _ready(self) -> tuple[Attachment, Bundle]:
        with self._lock:
            if self._bundle is None and self._attachment is None:
                self._bundle, self._attachment = self._read_and_connect()
            if self._bundle is None:
                self._bundle = self._model.bundle()
            if self._attachment is None:
                self._attachment = self._connect()
            return self._attachment, self._bundle

    def _read_and_connect(self) -> tuple[Bundle, Attachment]:
        """Both at one time: digests keep a processor busy, and connecting waits for an answer."""
        connecting: Future[Attachment] = Future()
        threading.Thread(target=_settle, args=(connecting, self._connect), daemon=True).start()
        try:
            bundle = self._model.bundle()
        except BaseException:
            connecting.add_done_callback(_close_unused)
            raise
        return bundle, connecting.result()

    def _send(self, attachment: Attachment, bundle: Bundle, call: Call) -> None:
        with self._lock:
            self.uploaded_bytes += attachment.prepare(bundle, call)

    def close(self) -> None:
        """Close the connection, unless it is the caller's. Running again opens a new one."""
        if not self._owned:
            return
        with self._lock:
            attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.close()


def _settle(future: Future[Attachment], connect: Callable[[], Attachment]) -> None:
    try:
        future.set_result(connect())
    except BaseException as error:
        future.set_exception(error)


def _close_unused(connecting: Future[Attachment]) -> None:
    if connecting.exception() is None:
        connecting.result().close()
