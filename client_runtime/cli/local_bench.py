"""The local side of `accel bench`: the same model in a Session of the TensorFlow installed here.

The only command that may load TensorFlow, and only when it is installed.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from typing import Any

from accel_protocol.errors import AcceleratorError, ModelError
from client_runtime.cli.model_options import ModelChoice
from client_runtime.predictor import EIPredictor


def is_installed() -> bool:
    """Whether there is a TensorFlow here; importing nothing."""
    return importlib.util.find_spec("tensorflow") is not None


def import_tensorflow() -> Any:
    """TensorFlow, quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return tensorflow


def open_local(choice: ModelChoice) -> EIPredictor:
    """A predictor for the model that runs in this process.

    Raises:
        ModelError: TensorFlow cannot load it.
    """
    tensorflow = import_tensorflow()
    # Growth, because the accelerator may be on this machine's only GPU, too.
    gpu = tensorflow.compat.v1.GPUOptions(allow_growth=True)
    config = tensorflow.compat.v1.ConfigProto(allow_soft_placement=True, gpu_options=gpu)
    try:
        return choice.open(use_ei=False, config=config)
    except AcceleratorError:
        raise
    except Exception as error:  # TensorFlow's are of many classes
        raise ModelError(
            f"The TensorFlow of this machine cannot load the model: {error}",
            remedy="Leave the local side out with --no-local.",
        ) from error
