"""`EIPredictor` as the old import paths give it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from client_runtime import predictor
from client_runtime.compat.lenient_arrays import lenient


class EIPredictor(predictor.EIPredictor):
    """`client_runtime.EIPredictor` whose results convert to numbers as NumPy's arrays once did."""

    def __call__(
        self, feed_dict: Mapping[str, Any], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """See `client_runtime.EIPredictor`; arrays in the answer are `LenientArray`s."""
        answer = super().__call__(feed_dict, timeout=timeout)
        return {alias: lenient(value) for alias, value in answer.items()}


def from_saved_model(
    export_dir: str | os.PathLike[str],
    signature_def_key: str | None = None,
    signature_def: Any = None,
    input_names: Mapping[str, str] | None = None,
    output_names: Mapping[str, str] | None = None,
    tags: str | None = None,
    graph: Any = None,
    config: Any = None,
) -> EIPredictor:
    """`tf.contrib.predictor.from_saved_model`: a predictor that runs in this process."""
    return EIPredictor(
        export_dir,
        signature_def_key,
        signature_def,
        input_names,
        output_names,
        tags,
        graph,
        config,
        use_ei=False,
    )
