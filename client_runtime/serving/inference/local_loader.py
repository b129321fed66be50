"""Versions that run in this process's TensorFlow, for --use_ei=false.

TensorFlow is imported when a `LocalLoader` is made.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from accel_protocol.errors import AcceleratorError, Status
from accel_protocol.manifest import SAVED_MODEL
from accel_protocol.tensors import Array
from client_runtime.local import LocalPredictor, require_tensorflow
from client_runtime.models.saved_model import TensorInfo
from client_runtime.models.selection import Selection
from client_runtime.serving.inference import signatures as signatures_
from client_runtime.serving.inference.engine import Ran
from client_runtime.serving.inference.failures import as_serving_errors
from client_runtime.serving.inference.finishing import Finisher
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.servable import Bounds, Servable, ServableId
from client_runtime.serving.statuses import ServingError, invalid


class LocalVersion:
    """See `Engine`: all signatures in one session, which they share the state of.

    Args:
        model: any selection of the version's model.
        selections: of each signature that can run.
    """

    def __init__(self, model: LocalPredictor, selections: Mapping[str, Selection]) -> None:
        self._model = model
        self._predictors = {key: model.selecting(one) for key, one in selections.items()}
        self._tags = next((one.tags for one in selections.values()), ())

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
        """See `Engine.run`."""
        return _run(self._predictors[signature], feeds, bounds)

    def run_tensors(
        self, feeds: Mapping[str, Array], fetches: Sequence[str], bounds: Bounds
    ) -> Ran:
        """See `Engine.run_tensors`."""
        known = [{name: TensorInfo(name) for name in names} for names in (feeds, fetches)]
        try:
            chosen = self._model.selecting(Selection(self._tags, *known))
        except (KeyError, ValueError) as error:
            raise invalid(str(error.args[0])) from error
        return _run(chosen, feeds, bounds)

    def close(self) -> None:
        """See `Engine.close`."""
        self._model.close()


def _run(model: LocalPredictor, feeds: Mapping[str, Array], bounds: Bounds) -> Ran:
    started = time.perf_counter()
    with as_serving_errors():
        fetches = model.run(feeds, bounds.left())
    return Ran(fetches, 0.0, time.perf_counter() - started)


class LocalLoader:
    """See `Loader`.

    Args:
        options: how; those that tell of accelerators are of no account.

    Raises:
        ConfigurationError: TensorFlow is not installed.
        ServingError: the batching parameters are wrong.
    """

    def __init__(self, options: InferenceOptions) -> None:
        require_tensorflow("Serving without an accelerator (--use_ei=false)")
        self._options, self._finisher = options, Finisher(options)

    def load(self, id_: ServableId, folder: Path, bounds: Bounds) -> Servable:
        """See `Loader.load`."""
        tags = self._options.tags
        signatures = signatures_.read(folder, tags)
        selections = {
            key: signatures_.selection_of(signature, tags)
            for key, signature in signatures.items()
            if signatures_.is_runnable(key, signature)
        }
        engine = _load(folder, Selection(signatures_.tag_set(tags), {}, {}), selections)
        refused = signatures_.not_runnable(signatures)
        return self._finisher.finish(id_, folder, signatures, refused, engine, bounds)

    def close(self) -> None:
        """Nothing is shared by versions."""


def _load(folder: Path, nothing: Selection, selections: Mapping[str, Selection]) -> LocalVersion:
    try:
        return LocalVersion(LocalPredictor(folder, SAVED_MODEL, nothing), selections)
    except AcceleratorError:
        raise
    except Exception as error:  # whatever TensorFlow raises
        raise ServingError(
            Status.INVALID_ARGUMENT, f"TensorFlow does not load {folder}: {error}"
        ) from error
