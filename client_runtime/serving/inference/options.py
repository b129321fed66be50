"""What this room is told by the command line.

Pure.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from client_runtime.serving.events import Observer, nobody
from client_runtime.serving_wire.server_config_pb2 import BatchingParameters

ALL_ACCELERATORS = 0


class AnswerForm(enum.Enum):
    """Where the elements of Predict's answers are."""

    VALUES = "in *_val fields, as the original has them"
    CONTENT = "in tensor_content"
    AS_ASKED = "in tensor_content where one of the request's tensors is"


@dataclass(frozen=True)
class InferenceOptions:
    """How versions are loaded and requests answered.

    Attributes:
        tags: the tag set of the graph to serve.
        answer_form: of Predict.
        check_method_names: whether a signature's method_name must fit the request.
        warm_up: whether the records in a version's folder are run before it is served.
        warm_up_iterations: how often each.
        batching: parameters; None: requests run one by one.
        batching_per_model: whether each version's folder has the parameters instead, and versions
            without them are not batched; `batching` then tells only of threads.
        replicas: on how many accelerators a model is loaded, by its name; ALL_ACCELERATORS for all.
        default_replicas: the same for models that are not named.
        observer: is told what happens.
    """

    tags: tuple[str, ...] = ("serve",)
    answer_form: AnswerForm = AnswerForm.VALUES
    check_method_names: bool = False
    warm_up: bool = True
    warm_up_iterations: int = 1
    batching: BatchingParameters | None = None
    batching_per_model: bool = False
    replicas: Mapping[str, int] = field(default_factory=dict)
    default_replicas: int = 1
    observer: Observer = nobody

    def replicas_of(self, model: str) -> int:
        """On how many accelerators a model is wanted; ALL_ACCELERATORS for all."""
        return self.replicas.get(model, self.default_replicas)
