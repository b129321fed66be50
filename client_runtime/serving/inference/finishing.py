"""What follows when a version's graphs are loaded, wherever they are: batches, and a warm-up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from client_runtime.serving.inference import warming
from client_runtime.serving.inference.batching.batcher import Batcher, BatchSource
from client_runtime.serving.inference.batching.rules import (
    BatchRules,
    pool_name_of,
    rules_of,
    threads_of,
)
from client_runtime.serving.inference.batching.scheduler import Scheduler
from client_runtime.serving.inference.engine import Engine
from client_runtime.serving.inference.loaded import LoadedVersion
from client_runtime.serving.inference.options import InferenceOptions
from client_runtime.serving.servable import Bounds, ServableId
from client_runtime.serving.statuses import invalid
from client_runtime.serving.text_files import TextFileError, read_text_file
from client_runtime.serving_wire.server_config_pb2 import BatchingParameters
from client_runtime.serving_wire.signatures_pb2 import SignatureDef

_PARAMETERS_FILE = "batching_params.pbtxt"
_log = logging.getLogger(__name__)


class Finisher:
    """Makes servables of loaded versions. Thread-safe.

    Args:
        options: how.

    Raises:
        ServingError: the batching parameters are wrong.
    """

    def __init__(self, options: InferenceOptions) -> None:
        self._options = options
        self._threads = options.batching or BatchingParameters()
        self._scheduler = Scheduler(threads_of(self._threads))
        self._common_rules: BatchRules | None = None
        if options.batching is not None and not options.batching_per_model:
            self._common_rules = rules_of(options.batching)

    def finish(
        self,
        id_: ServableId,
        folder: Path,
        signatures: Mapping[str, SignatureDef],
        refused: Mapping[str, str],
        engine: Engine,
        bounds: Bounds,
    ) -> LoadedVersion:
        """The servable, warmed up; the engine is closed where that fails.

        Raises:
            ServingError: batching parameters or warm-up requests of the version fail.
        """
        try:
            rules = self._rules(folder)
            runnable = {key: one for key, one in signatures.items() if key not in refused}
            batchers = {
                key: self._batcher(rules, id_, key, engine)
                for key, signature in runnable.items()
                if rules is not None and signature.inputs
            }
            batched = {key: batcher.run for key, batcher in batchers.items()}
            options = self._options
            loaded = LoadedVersion(id_, signatures, refused, engine, batched, options.observer)
            if options.warm_up:
                samples = warming.warm_up(loaded, folder, options, bounds)
                if rules is not None and rules.allowed:
                    warming.run_sizes(engine, runnable, samples, rules.allowed, bounds)
        except BaseException:
            engine.close()
            raise
        return loaded

    def _batcher(self, rules: BatchRules, id_: ServableId, key: str, engine: Engine) -> Batcher:
        return Batcher(
            self._scheduler,
            rules,
            lambda feeds, bounds: engine.run(key, feeds, bounds),
            BatchSource(id_, key, pool_name_of(self._threads)),
            self._options.observer,
        )

    def _rules(self, folder: Path) -> BatchRules | None:
        if not self._options.batching_per_model:
            return self._common_rules
        path = folder / _PARAMETERS_FILE
        if not path.exists():
            return None
        try:
            return rules_of(read_text_file(str(path), BatchingParameters))
        except TextFileError as error:
            raise invalid(f"{error.message} ({error.detail})") from error
