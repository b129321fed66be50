"""Running a version's warm-up requests before anybody else's."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from accel_protocol import dtypes
from accel_protocol.errors import FeedError, Status
from accel_protocol.tensors import Array
from client_runtime.serving.events import WarmedUp
from client_runtime.serving.inference.answering import Answering
from client_runtime.serving.inference.engine import Engine
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.servable import Bounds, Servable
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.prediction_log_pb2 import PredictionLog
from client_runtime.serving_wire.records import RecordError, read_records
from client_runtime.serving_wire.signatures_pb2 import SignatureDef

_log = logging.getLogger(__name__)
_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_MOST_RECORDS = 1000
Samples = dict[str, Mapping[str, Array]]


class _Sampled:
    """A servable, and the first feeds that each of its signatures was given."""

    def __init__(self, servable: Servable) -> None:
        self._servable = servable
        self.id, self.signatures = servable.id, servable.signatures
        self.samples: Samples = {}

    def run(self, signature: str, feeds: Mapping[str, Array], bounds: Bounds) -> dict[str, Array]:
        """See `Servable.run`."""
        self.samples.setdefault(signature, feeds)
        return self._servable.run(signature, feeds, bounds)

    def close(self) -> None:
        """See `Servable.close`."""
        self._servable.close()


def warm_up(servable: Servable, folder: Path, options: InferenceOptions, bounds: Bounds) -> Samples:
    """Run the requests in a version's folder, if there are any; answers one of each signature.

    Raises:
        ServingError: one of them fails, or the file is no record of requests.
    """
    path = folder / _FILE
    if not path.is_file():
        _log.info("No warmup data file found at %s", path)
        return {}
    sampled, started, count = _Sampled(servable), time.monotonic(), 0
    answering, status = Answering(sampled, options), None
    try:
        for log in _requests(path):
            for _ in range(max(1, options.warm_up_iterations)):
                _run(answering, log, bounds)
            count += 1
    except ServingError as error:
        status = error.status
        raise
    finally:
        seconds = time.monotonic() - started
        options.observer(WarmedUp(servable.id, str(folder), count, seconds, status))
    _log.info("%d warmup records of %s were run in %.1f s", count, path, seconds)
    return sampled.samples


def _requests(path: Path) -> Iterator[PredictionLog]:
    try:
        with path.open("rb") as stream:
            for place, record in enumerate(read_records(stream)):
                if place >= _MOST_RECORDS:
                    raise invalid(
                        f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {path}"
                    )
                yield _parsed(record, place, path)
    except RecordError as error:
        raise ServingError(
            Status.INTERNAL, f"{error}. Please verify your warmup data is in TFRecord format."
        ) from error
    except OSError as error:
        raise ServingError(
            Status.UNAVAILABLE, f"{path} cannot be read: {error.strerror}"
        ) from error


def _parsed(record: bytes, place: int, path: Path) -> PredictionLog:
    try:
        return PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {place} from {path}") from error


def _run(answering: Answering, log: PredictionLog, bounds: Bounds) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        answering.predict(log.predict_log.request, bounds)
    elif kind == "classify_log":
        answering.classify(log.classify_log.request, bounds)
    elif kind == "regress_log":
        answering.regress(log.regress_log.request, bounds)
    elif kind == "multi_inference_log":
        answering.multi_inference(log.multi_inference_log.request, bounds)
    elif kind is not None:
        raise ServingError(Status.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")


def run_sizes(
    engine: Engine,
    signatures: Mapping[str, SignatureDef],
    samples: Samples,
    sizes: Sequence[int],
    bounds: Bounds,
) -> None:
    """Run every batch size once, since an accelerator may prepare itself for each.

    Signatures without a sample are fed zeros, where their shapes are known; failures are no matter.
    """
    for key, signature in signatures.items():
        row = _row(samples[key]) if key in samples else _zeros(signature)
        if not row:
            continue
        try:
            for size in sizes:
                feeds = {alias: np.repeat(array, size, axis=0) for alias, array in row.items()}
                engine.run(key, feeds, bounds)
        except ServingError as error:
            _log.info("signature %s was not warmed up: %s", key, error.message)


def _row(feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The first row of each feed; none where one has none."""
    if any(array.ndim == 0 or not len(array) for array in feeds.values()):
        return {}
    return {alias: array[:1] for alias, array in feeds.items()}


def _zeros(signature: SignatureDef) -> dict[str, Array]:
    """A row of zeros; none where dtypes or shapes are not known."""
    row: dict[str, Array] = {}
    for alias, info in signature.inputs.items():
        sizes = [dim.size for dim in info.tensor_shape.dim]
        if info.tensor_shape.unknown_rank or not sizes or min(sizes[1:], default=0) < 0:
            return {}
        try:
            dtype = dtypes.numpy_of(info.dtype)
        except FeedError:
            return {}
        if info.dtype == dtypes.STRING:
            return {}
        row[alias] = np.zeros((1, *sizes[1:]), dtype)
    return row
