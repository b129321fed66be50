"""What makes a configuration wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.models import config_rules
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelConfig, ModelServerConfig
from tests.client_runtime.serving.models.conftest import config_of

_M = "config { name: 'm' base_path: '/m' model_platform: 'tensorflow' }"
_TYPE = "config { name: 'm' base_path: '/m' model_type: TENSORFLOW }"


def _refusal(new: str, old: str = "") -> ServingError:
    with pytest.raises(ServingError) as failure:
        config_rules.check(config_of(new), config_of(old))
    return failure.value


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (_M + _M, "Illegal to list model m multiple times in config list"),
        (
            "config { name: 'm' base_path: 'models/m' model_platform: 'tensorflow' }",
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
        (
            "config { name: 'm' model_platform: 'tensorflow' }",
            "Expected model m to have an absolute path or URI; got base_path()=",
        ),
        (
            "config { name: 'm' base_path: 's3://b/m' model_platform: 'tensorflow' }",
            "Model m has base_path()=s3://b/m; only folders of this machine are served: an "
            "absolute path, or file:// and an absolute path",
        ),
        (
            "config { name: 'm' base_path: '/m' }",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            "config { name: 'm' base_path: '/m' model_type: TENSORFLOW model_platform: 'x' }",
            "Illegal setting both ModelServerConfig::model_type (deprecated) and "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            "config { name: 'm' base_path: '/m' model_type: OTHER }",
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            "config { name: 'm' base_path: '/m' model_platform: 'caffe' }",
            "Model m requests unsupported platform caffe",
        ),
    ],
)
def test_a_wrong_model_is_refused(models: str, message: str) -> None:
    """In the original's words."""
    error = _refusal(f"model_config_list {{ {models} }}")
    assert (error.status, error.message) == (Status.INVALID_ARGUMENT, message)


def test_a_platform_may_not_change() -> None:
    """Not for a model that is served already."""
    other = _M.replace("tensorflow", "caffe")
    error = _refusal(f"model_config_list {{ {other} }}", f"model_config_list {{ {_M} }}")
    assert error.message == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new "
        "platform requested is caffe"
    )


@pytest.mark.parametrize("new", ["custom_model_config {}", ""])
def test_a_list_may_not_become_something_else(new: str) -> None:
    """Once there is a list, only lists follow."""
    error = _refusal(new, f"model_config_list {{ {_M} }}")
    assert error.status is Status.FAILED_PRECONDITION
    assert error.message.startswith("Cannot transition to requested config.")


def test_a_custom_configuration_is_refused() -> None:
    """It asks for code that is not here."""
    assert "custom model config" in _refusal("custom_model_config {}").message


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("", ""),
        (f"model_config_list {{ {_M} }}", ""),
        (f"model_config_list {{ {_M} }}", f"model_config_list {{ {_M} }}"),
        (f"model_config_list {{ {_TYPE} }}", f"model_config_list {{ {_M} }}"),
        ("model_config_list {}", f"model_config_list {{ {_M} }}"),
        (f"model_config_list {{ {_M} }}", "model_config_list {}"),
    ],
)
def test_what_is_right_passes(new: str, old: str) -> None:
    """First configurations, the same again, none, and the old way to say the platform."""
    config_rules.check(config_of(new), config_of(old))


@pytest.mark.parametrize(
    ("base_path", "folder"),
    [
        ("/models/m", "/models/m"),
        ("file:///models/m", "/models/m"),
        ("FILE://localhost/models/m", "/models/m"),
        ("/with space/%20", "/with space/%20"),
        ("file://elsewhere/m", None),
        ("file://", None),
        ("gs://bucket/m", None),
        ("~/m", None),
        ("./m", None),
    ],
)
def test_a_base_path_is_a_local_folder(base_path: str, folder: str | None) -> None:
    """By path or by file:// URI."""
    model = ModelConfig(name="m", base_path=base_path)
    if folder is not None:
        assert config_rules.folder_of(model) == Path(folder)
        return
    with pytest.raises(ServingError, match="m"):
        config_rules.folder_of(model)


def test_models_that_serve_alike() -> None:
    """Labels make no difference to what is loaded; the path and the policy do."""
    model = ModelServerConfig(
        model_config_list=config_of(f"model_config_list {{ {_M} }}").model_config_list
    ).model_config_list.config[0]
    labelled, moved, all_of_it = ModelConfig(), ModelConfig(), ModelConfig()
    for copy in (labelled, moved, all_of_it):
        copy.CopyFrom(model)
    labelled.version_labels["stable"] = 1
    moved.base_path = "/n"
    all_of_it.model_version_policy.all.SetInParent()
    assert config_rules.serves_alike(model, labelled)
    assert not config_rules.serves_alike(model, moved)
    assert not config_rules.serves_alike(model, all_of_it)
    assert not config_rules.serves_alike(model, None)
