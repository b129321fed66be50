"""Whether a configuration is one that can be served, by itself and after the one before it.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire import model_management_pb2
from client_runtime.serving_wire.model_management_pb2 import ModelConfig, ModelServerConfig

_TENSORFLOW = "tensorflow"
_URI = re.compile(r"([a-zA-Z][0-9a-zA-Z.+-]*)://([^/]*)(.*)", re.DOTALL)


def check(new: ModelServerConfig, old: ModelServerConfig) -> None:
    """Whether `new` may follow `old`; an empty `old` is no configuration yet.

    Raises:
        ServingError: it may not.
    """
    if old.WhichOneof("config") and new != old and not (_is_list(new) and _is_list(old)):
        raise ServingError(
            Status.FAILED_PRECONDITION,
            "Cannot transition to requested config. It is only legal to transition from one "
            "ModelConfigList to another.",
        )
    if new.WhichOneof("config") == "custom_model_config":
        raise invalid("ModelServer does not yet support custom model config.")
    _check_models(new.model_config_list.config, old.model_config_list.config)


def platform_of(model: ModelConfig) -> str:
    """The platform of a model.

    Raises:
        ServingError: it has none, or two.
    """
    if model.model_type == model_management_pb2.MODEL_TYPE_UNSPECIFIED:
        if not model.model_platform:
            raise invalid(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        return model.model_platform
    if model.model_platform:
        raise invalid(
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if model.model_type != model_management_pb2.TENSORFLOW:
        raise invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
    return _TENSORFLOW


def folder_of(model: ModelConfig) -> Path:
    """The local folder that a base path names, which may be a file:// URI.

    Raises:
        ServingError: it is relative, or a URI of another kind.
    """
    if (uri := _URI.fullmatch(model.base_path)) is None:
        if not model.base_path.startswith("/"):
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )
        return Path(model.base_path)
    scheme, host, path = uri.groups()
    if scheme.lower() != "file" or host not in ("", "localhost") or not path.startswith("/"):
        raise invalid(
            f"Model {model.name} has base_path()={model.base_path}; only folders of this machine "
            "are served: an absolute path, or file:// and an absolute path"
        )
    return Path(path)


def serves_alike(model: ModelConfig, other: ModelConfig | None) -> bool:
    """Whether two configurations of a model ask for the same versions."""
    return (
        other is not None
        and model.base_path == other.base_path
        and model.model_version_policy == other.model_version_policy
    )


def _is_list(config: ModelServerConfig) -> bool:
    return config.WhichOneof("config") == "model_config_list"


def _check_models(new: Iterable[ModelConfig], old: Iterable[ModelConfig]) -> None:
    _check_names(new)
    for model in new:
        folder_of(model)
    platforms = {model.name: platform_of(model) for model in old}
    for model in new:
        _check_platform(model, platforms.get(model.name))


def _check_names(models: Iterable[ModelConfig]) -> None:
    seen: set[str] = set()
    for model in models:
        if model.name in seen:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        seen.add(model.name)


def _check_platform(model: ModelConfig, before: str | None) -> None:
    platform = platform_of(model)
    if before is not None and platform != before:
        raise invalid(
            f"Illegal to change a model's platform. For model {model.name} platform was {before} "
            f"and new platform requested is {platform}"
        )
    if platform != _TENSORFLOW:
        raise invalid(f"Model {model.name} requests unsupported platform {platform}")
