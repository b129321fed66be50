"""ModelServerConfig from its text form.

Pure.
"""

from __future__ import annotations

import re

from google.protobuf import text_format

from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.model_management_pb2 import ModelServerConfig

# Line and column, and the whole line where Python's protobuf repeats it.
_PLACE = re.compile(r"^\d+:\d+ : ('.*?': (?=[A-Z]))?", re.DOTALL)


def parse(text: str) -> ModelServerConfig:
    """A configuration from protobuf's text form: commas, either quotes, # comments.

    Raises:
        ServingError: it is not one; says where (INVALID_ARGUMENT).
    """
    config = ModelServerConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise _parse_error(error) from error
    return config


def single_model(name: str, base_path: str) -> ModelServerConfig:
    """The configuration that `--model_name` and `--model_base_path` stand for."""
    config = ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def _parse_error(error: text_format.ParseError) -> ServingError:
    message = _PLACE.sub("", str(error), count=1)
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    return invalid(
        "Error parsing text-format tensorflow.serving.ModelServerConfig: "
        f"{line}:{column}: {message}"
    )
