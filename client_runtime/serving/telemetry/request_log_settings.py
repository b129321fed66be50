"""What a model's logging_config asks for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from client_runtime.serving.statuses import invalid
from client_runtime.serving_wire import model_management_pb2

# "" as TensorFlow Serving's examples leave it, and the word for what it means.
_FILE_TYPES = ("", "file")


@dataclass(frozen=True)
class LogSettings:
    """Where a model's requests are logged, and how many of them.

    Attributes:
        prefix: that file names begin with, with their folder.
        sampling_rate: share of the requests, 0 to 1.
    """

    prefix: Path
    sampling_rate: float


def settings_of(
    model: model_management_pb2.ModelConfig, folder: Path | None = None
) -> LogSettings | None:
    """The settings of a model, None where its requests are not logged.

    Args:
        model: its configuration.
        folder: that the files must be in, and that prefixes without a folder mean; None: the
            working folder is meant, and files may be anywhere.

    Raises:
        ServingError: what is asked for cannot be done (INVALID_ARGUMENT).
    """
    if not model.HasField("logging_config"):
        return None
    asked = model.logging_config
    collector, rate = asked.log_collector_config, asked.sampling_config.sampling_rate
    if collector.type not in _FILE_TYPES:
        raise invalid(f"Model {model.name} requests unsupported log collector {collector.type}")
    if not 0 <= rate <= 1:
        raise invalid(f"Model {model.name} requests sampling_rate {rate:g}, which is not in 0 to 1")
    return LogSettings(_prefix(model.name, collector.filename_prefix, folder), rate)


def _prefix(model: str, text: str, folder: Path | None) -> Path:
    if not text or text.endswith("/") or "\0" in text:
        raise invalid(f"Model {model} requests a log without a filename_prefix")
    prefix = Path(text)
    if folder is None:
        return prefix
    if ".." in prefix.parts or not (folder / prefix).is_relative_to(folder):
        raise invalid(f"Model {model} requests a log outside of the folder for logs: {text}")
    return folder / prefix
