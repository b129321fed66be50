"""`EIKerasModel`: a Keras model whose `predict` runs on an accelerator.

The only part of the client that needs Keras, and with it TensorFlow: to convert the model. Both are
the user's own, and are imported when an `EIKerasModel` is made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from accel_protocol.errors import CallError
from client_runtime.keras import data as keras_data
from client_runtime.keras import export as keras_export
from client_runtime.keras.data import DEFAULT_BATCH_SIZE, Structure, Values
from client_runtime.predictor import EIPredictor
from client_runtime.transport.attachment import Attachment


class EIKerasModel:
    """Predicts as the Keras model does: `EIKerasModel(model).predict(x)`.

    The model is converted here, with the weights it has now; a subclassed model, which does not
    declare its inputs, at the first prediction. May be used from several threads at once.

    Args:
        model_or_path: a model of Keras 3 or tf_keras, or a `.keras` or `.h5` file.
        custom_objects: by name, what the file needs besides Keras itself.
        accelerator_id: ordinal or "eia-…" id; by default whichever is free.
        use_ei: False to run locally.
        attachment: an open connection to use; by default one is made at the first prediction.

    Raises:
        OSError: no such file.
        TypeError: neither a Keras model nor a path.
        ModelError: the model cannot be loaded or converted.
        ConfigurationError: Keras or TensorFlow is not installed, or cannot be used as it is set up.
    """

    def __init__(
        self,
        model_or_path: Any,
        custom_objects: Mapping[str, Any] | None = None,
        accelerator_id: int | str | None = None,
        *,
        use_ei: bool = True,
        attachment: Attachment | None = None,
    ) -> None:
        model = model_or_path
        if isinstance(model, str | os.PathLike):
            model = keras_export.load(Path(model), custom_objects)
        self._model: Any = model
        self._flavour = keras_export.flavour_of(model)
        self._options: dict[str, Any] = {
            "accelerator_id": accelerator_id,
            "use_ei": use_ei,
            "attachment": attachment,
        }
        self._lock = threading.Lock()
        self._converted: dict[str, tuple[EIPredictor, Structure]] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="accel-keras-"))
        # The files are there until the end, because a model is uploaded whenever it is missing.
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._inputs = keras_export.declared_inputs(model)
        if self._inputs is not None:
            self._ready(self._inputs)
            self._model = None  # its weights are in the files now

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = 0, steps: int | None = None
    ) -> Any:
        """What the Keras model's `predict` answers.

        Args:
            x: an array, or a list or dict of arrays, of equally many samples; or a generator,
                tf.data.Dataset or Keras Sequence of batches.
            batch_size: samples per call of the accelerator, 32 by default; the last batch may be
                smaller. Has no meaning where `x` gives batches.
            verbose: accepted, and not used.
            steps: how many batches at most.

        Returns:
            Arrays in the structure of the model's outputs, with all samples along the first axis.

        Raises:
            ValueError: `x` does not fit the model's inputs.
            AcceleratorError: see `Attachment.run`.
        """
        answers: list[dict[str, Any]] = []
        outputs: Structure = None
        for inputs, values in islice(self._batches(x, batch_size), steps):
            predictor, outputs = self._ready(inputs)
            answers.append(predictor(values))
        return keras_data.join(answers, outputs)

    def predict_on_batch(self, x: Any) -> Any:
        """What the Keras model answers for one batch, sent in one call."""
        inputs, values = self._matched(keras_data.as_arrays(x, self._flavour.floatx))
        predictor, outputs = self._ready(inputs)
        return keras_data.join([predictor(values)], outputs)

    __call__ = predict_on_batch

    def _batches(self, x: Any, batch_size: int | None) -> Iterator[tuple[Structure, Values]]:
        if keras_data.is_stream(x):
            for batch in keras_data.stream(x):
                yield self._matched(keras_data.as_arrays(batch, self._flavour.floatx))
            return
        inputs, values = self._matched(keras_data.as_arrays(x, self._flavour.floatx))
        for part in keras_data.slices(values, batch_size or DEFAULT_BATCH_SIZE):
            yield inputs, part

    def _matched(self, x: Any) -> tuple[Structure, Values]:
        inputs = keras_data.describe(x) if self._inputs is None else self._inputs
        return inputs, keras_data.match(x, inputs, strict=not self._flavour.legacy)

    def _ready(self, inputs: Structure) -> tuple[EIPredictor, Structure]:
        """The predictor for these inputs, and the structure of what it gives."""
        key = repr(inputs)
        with self._lock:
            if not self._remove.alive:
                raise CallError("This model was closed.", remedy="Make a new EIKerasModel.")
            if key not in self._converted:
                folder = self._folder / str(len(self._converted))
                outputs = keras_export.export(self._model, self._flavour, inputs, folder)
                self._converted[key] = EIPredictor(folder, **self._options), outputs
            return self._converted[key]

    def fit(self, *_: Any, **__: Any) -> NoReturn:
        """Always raises CallError, as all methods that train or evaluate do."""
        raise CallError(
            "An accelerator only predicts.",
            remedy="Train and evaluate the Keras model itself, then make a new EIKerasModel of it.",
        )

    compile = evaluate = train_on_batch = test_on_batch = fit_generator = fit

    def close(self) -> None:
        """Close the connections and delete the converted model."""
        with self._lock:
            converted, self._converted = self._converted, {}
            self._remove()
        for predictor, _ in converted.values():
            predictor.close()

    def __enter__(self) -> EIKerasModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
