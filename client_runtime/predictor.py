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

from accel_protocol import manifest
from accel_protocol.errors import ConfigurationError, ModelMissingError
from accel_protocol.tensors import Array
from client_runtime import bundle as bundles
from client_runtime import feeds as feeds_
from client_runtime import saved_model
from client_runtime.attachment import Attachment, connect
from client_runtime.exchange import Call, CallTiming, Cancellation
from client_runtime.saved_model import TensorInfo
from client_runtime.selection import Choice, select

_MISSING_ATTEMPTS = 3
_ASYNC_CALLS = 64  # at one time; each takes a thread and a stream


class EIPredictor:
    """Runs a model on an accelerator: `EIPredictor(model_dir)(feed_dict)`.

    The model is read here, and sent when the first inference finds that the accelerator lacks it.
    Everything that can be wrong about the arguments is said before anything is sent. May be called
    from several threads at once.

    Args:
        model_dir: SavedModel directory.
        signature_def_key: key of the signature; "serving_default" when nothing chooses.
        signature_def: a SignatureDef proto, instead.
        input_names, output_names: alias to tensor name ("image_tensor:0"), instead.
        tags: tag set, comma-separated (a list will do); "serve" by default.
        graph, config: for TensorFlow's local predictor; not used by an accelerator.
        use_ei: False to run locally.
        accelerator_id: ordinal or "eia-…" id; by default whichever is free.
        export_dir: another name of `model_dir`.
        attachment: an open connection to use; by default one is made at the first inference.

    Raises:
        OSError: no SavedModel there, or it cannot be parsed.
        ValueError: contradictory arguments, no such tag set or signature.
        KeyError: no such tensor.
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
        if not use_ei or graph is not None:
            raise ConfigurationError(
                "This version runs models on accelerators only.",
                remedy="Leave out use_ei=False and graph.",
            )
        self._root = _directory(model_dir, export_dir)
        choice = Choice(signature_def_key, signature_def, input_names, output_names, tags)
        self._selection = select(saved_model.read(self._root), choice)
        self._accelerator_id = accelerator_id
        self._attachment, self._owns_attachment = attachment, attachment is None
        self._bundle: bundles.Bundle | None = None
        self._lock = threading.Lock()
        self._repeatable = False
        self._timings = threading.local()
        self._executor: ThreadPoolExecutor | None = None
        self.uploaded_bytes = 0
        """Bytes of the model that this predictor had to send so far."""

    @property
    def feed_tensors(self) -> dict[str, TensorInfo]:
        """What can be fed, by alias."""
        return dict(self._selection.feeds)

    @property
    def fetch_tensors(self) -> dict[str, TensorInfo]:
        """What is fetched, by alias."""
        return dict(self._selection.fetches)

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
        arrays = feeds_.convert(feed_dict, self._selection.feeds)
        attachment, bundle = self._ready()
        call = Call(bundle.graph_id, arrays, give_up_at, cancellation)
        fetches = self._run(attachment, bundle, call)
        return {alias: fetches[alias][()] for alias in self._selection.fetches}

    def _run(self, attachment: Attachment, bundle: bundles.Bundle, call: Call) -> dict[str, Array]:
        for attempt in range(1, _MISSING_ATTEMPTS + 1):
            try:
                answer = attachment.run(call, repeatable=self._repeatable)
            except ModelMissingError:
                # Evicted between loading and running, at worst; never for ever.
                if attempt == _MISSING_ATTEMPTS:
                    raise
                with self._lock:
                    self.uploaded_bytes += attachment.prepare(bundle)
            else:
                self._repeatable = answer.repeatable
                self._timings.last = answer.timing
                return answer.fetches
        raise AssertionError("unreachable")

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(_ASYNC_CALLS, thread_name_prefix="predict")
            return self._executor

    def _ready(self) -> tuple[Attachment, bundles.Bundle]:
        with self._lock:
            if self._bundle is None:
                files = saved_model.bundle_files(self._root)
                selection = self._selection.for_manifest()
                self._bundle = bundles.make_bundle(
                    self._root, files, manifest.SAVED_MODEL, selection
                )
            if self._attachment is None:
                self._attachment = connect(accelerator_id=self._accelerator_id)
            return self._attachment, self._bundle

    def close(self) -> None:
        """Close the connection, unless it was given by the caller. Calling again reopens it."""
        with self._lock:
            attachment = self._attachment
            if self._owns_attachment:
                self._attachment = None
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)
        if attachment is not None and self._owns_attachment:
            attachment.close()

    def __reduce__(self) -> Any:
        raise TypeError(
            "An EIPredictor holds a connection and cannot be pickled. Make one in each process: "
            f"EIPredictor({str(self._root)!r}, …); the model is not uploaded again."
        )

    def __enter__(self) -> EIPredictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"EIPredictor with feed tensors {self.feed_tensors} "
            f"and fetch_tensors {self.fetch_tensors}"
        )


def _directory(
    model_dir: str | os.PathLike[str] | None, export_dir: str | os.PathLike[str] | None
) -> Path:
    given = [value for value in (model_dir, export_dir) if value is not None]
    if len(given) != 1:
        raise ValueError("Exactly one of model_dir and export_dir must be given.")
    return Path(os.fsdecode(given[0]))
