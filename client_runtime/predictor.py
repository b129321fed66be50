"""`EIPredictor`: Amazon Elastic Inference's predictor, on an accelerator of this project."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from client_runtime import feeds as feeds_
from client_runtime.local import LocalPredictor
from client_runtime.models.model import open_model
from client_runtime.models.saved_model import TensorInfo
from client_runtime.models.selection import Choice
from client_runtime.remote_model import RemoteModel
from client_runtime.transport.attachment import Attachment, connect
from client_runtime.transport.exchange import CallTiming, Cancellation

_ASYNC_CALLS = 64  # at one time; each takes a thread and a stream


class EIPredictor:
    """Runs a model on an accelerator: `EIPredictor(model_dir)(feed_dict)`.

    The model is read here, and sent when the first inference finds that the accelerator lacks it.
    Everything that can be wrong about the arguments is said before anything is sent. May be called
    from several threads at once.

    Args:
        model_dir: SavedModel directory, or the `.pb` file of a frozen graph (which needs names).
        signature_def_key: key of the signature; "serving_default" when nothing chooses.
        signature_def: a SignatureDef proto, instead.
        input_names, output_names: alias to tensor name ("image_tensor:0"), instead.
        tags: tag set, comma-separated (a list will do); "serve" by default.
        graph, config: the tf.Graph to load the model into and the tf.ConfigProto of its Session,
            for use_ei=False and for `graph` and `session`; an accelerator has its own.
        use_ei: False to run in this process's TensorFlow.
        accelerator_id: ordinal or "eia-…" id; by default whichever is free.
        export_dir: another name of `model_dir`.
        attachment: an open connection to use; by default one is made at the first inference.

    Raises:
        OSError: no SavedModel there, or it cannot be parsed.
        ValueError: contradictory arguments, no such tag set or signature.
        KeyError: no such tensor.
        ConfigurationError: use_ei is False and TensorFlow is not installed.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | None = None,
        signature_def_key: str | None = None,
        signature_def: Any = None,
        input_names: Mapping[str, str] | None = None,
        output_names: Mapping[str, str] | None = None,
        tags: str | Sequence[str] | None = None,
        graph: Any = None,
        config: Any = None,
        use_ei: bool = True,
        accelerator_id: int | str | None = None,
        *,
        export_dir: str | os.PathLike[str] | None = None,
        attachment: Attachment | None = None,
    ) -> None:
        choice = Choice(signature_def_key, signature_def, input_names, output_names, tags)
        self._model = open_model(_path(model_dir, export_dir), choice)
        self._use_ei, self._graph, self._config = use_ei, graph, config
        self._local: LocalPredictor | None = None
        self._remote = RemoteModel(
            self._model, lambda: connect(accelerator_id=accelerator_id), attachment
        )
        self._lock = threading.Lock()
        self._timings = threading.local()
        self._executor: ThreadPoolExecutor | None = None
        if not use_ei:
            self._locally()

    @property
    def feed_tensors(self) -> dict[str, TensorInfo]:
        """What can be fed, by alias."""
        return dict(self._model.selection.feeds)

    @property
    def fetch_tensors(self) -> dict[str, TensorInfo]:
        """What is fetched, by alias."""
        return dict(self._model.selection.fetches)

    @property
    def graph(self) -> Any:
        """The tf.Graph with the model in it, in this process's TensorFlow.

        Raises:
            ConfigurationError: TensorFlow is not installed here.
        """
        return self._locally().graph

    @property
    def session(self) -> Any:
        """The tf.compat.v1.Session that `graph` is in.

        Raises:
            ConfigurationError: TensorFlow is not installed here.
        """
        return self._locally().session

    @property
    def uploaded_bytes(self) -> int:
        """Bytes of the model that this predictor had to send so far."""
        return self._remote.uploaded_bytes

    @property
    def last_timing(self) -> CallTiming | None:
        """Where the time of this thread's last call went; None before the first."""
        return getattr(self._timings, "last", None)

    def __call__(
        self, feed_dict: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Run the model.

        Args:
            feed_dict: values by alias; missing or None values are not fed.
            timeout: seconds after which the work is stopped, on the accelerator too.

        Returns:
            All fetches by alias, as Session.run would give them: arrays; NumPy scalars, or bytes,
            for tensors of rank 0.

        Raises:
            ValueError, TypeError: an unknown key, or a value that does not convert.
            AcceleratorError: see `Attachment.run`.
        """
        return self._predict(feed_dict, timeout, None)

    async def predict_async(
        self, feed_dict: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """The same as calling, for asyncio; cancelling the task stops the work everywhere."""
        cancellation = Cancellation()
        work = functools.partial(self._predict, feed_dict, timeout, cancellation)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads(), work)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise

    def _predict(
        self, feed_dict: Mapping[str, Any], timeout: float | None, cancellation: Cancellation | None
    ) -> dict[str, Any]:
        give_up_at = None if timeout is None else time.monotonic() + timeout
        selection = self._model.selection
        arrays = feeds_.convert(feed_dict, selection.feeds)
        if self._use_ei:
            answer = self._remote.run(arrays, give_up_at, cancellation)
            self._timings.last = answer.timing
            fetches = answer.fetches
        else:
            fetches = self._locally().run(arrays, timeout)
        return {alias: fetches[alias][()] for alias in selection.fetches}

    def _locally(self) -> LocalPredictor:
        """The model in this process's TensorFlow, loaded when it is first asked for."""
        with self._lock:
            if self._local is None:
                self._local = LocalPredictor(
                    self._model.path,
                    self._model.format,
                    self._model.selection,
                    graph=self._graph,
                    config=self._config,
                )
            return self._local

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_ASYNC_CALLS, thread_name_prefix="predict")
            return self._executor

    def close(self) -> None:
        """End the connection, unless it was given by the caller. Calling again reopens it."""
        with self._lock:
            executor, self._executor = self._executor, None
            local, self._local = self._local, None
        if executor is not None:
            executor.shutdown(wait=False)
        if local is not None:
            local.close()
            # The caller's graph holds the model already; it cannot take it in twice.
            self._graph = None
        self._remote.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "An EIPredictor holds a connection and cannot be pickled. Make one in each process: "
            f"EIPredictor({str(self._model.path)!r}, …); the model is not uploaded again."
        )

    def __enter__(self) -> EIPredictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if not hasattr(self, "_model"):
            return "EIPredictor that could not be made"
        return (
            f"EIPredictor with feed tensors {self.feed_tensors} "
            f"and fetch_tensors {self.fetch_tensors}"
        )


def _path(
    model_dir: str | os.PathLike[str] | None, export_dir: str | os.PathLike[str] | None
) -> Path:
    given = [value for value in (model_dir, export_dir) if value is not None]
    if len(given) != 1:
        raise ValueError("Exactly one of model_dir and export_dir must be given.")
    return Path(os.fsdecode(given[0]))
