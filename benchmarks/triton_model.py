"""What Triton's Python backend runs: a shipped SavedModel, through a prepared Session."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import Any


class TritonPythonModel:
    """See the module; the name and the methods are Triton's."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the model that lies beside this file."""
        import tensorflow as tf

        folder = tempfile.mkdtemp(prefix="shipped-")
        beside = Path(arguments["model_repository"]) / arguments["model_version"]
        with zipfile.ZipFile(beside / "saved_model.zip") as archive:
            archive.extractall(folder)
        graph = tf.Graph()
        session = tf.compat.v1.Session(graph=graph)
        with graph.as_default():
            loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        signature = loaded.signature_def["serving_default"]
        fed, fetched = signature.inputs["x"].name, signature.outputs["y"].name
        tensors = [graph.get_tensor_by_name(name) for name in (fed, fetched)]
        self._run = session.make_callable([tensors[1]], feed_list=[tensors[0]])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests."""
        import triton_python_backend_utils as backend

        answers = []
        for request in requests:
            feed = backend.get_input_tensor_by_name(request, "x").as_numpy()
            (fetched,) = self._run(feed)
            answers.append(backend.InferenceResponse([backend.Tensor("y", fetched)]))
        return answers
