"""What is served instead, by a request or by the configuration file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.servable import Bounds
from client_runtime.serving.statuses import ServingError, invalid
from client_runtime.serving_wire.model_management_pb2 import ModelConfig, ModelServerConfig
from tests.client_runtime.serving.models.conftest import (
    Begin,
    MemoryLoader,
    config_of,
    configured,
    in_time,
    model_at,
    refused,
    served,
    settle,
    spec,
    states_of,
)
from tests.conftest import eventually


def test_a_reload_returns_when_new_models_are_there(
    begin: Begin, tmp_path: Path, loader: MemoryLoader
) -> None:
    """Also without polling; those not named are unloaded, and can come again."""
    old, new = configured(model_at(tmp_path, "old", 1)), configured(model_at(tmp_path, "new", 1))
    catalog = begin(old, poll_seconds=0.0)
    settle(catalog)
    for config, serves, served_not in [(new, "new", "old"), (old, "old", "new")]:
        catalog.reload(config, in_time())
        assert served(catalog, spec(serves)) == 1
        assert refused(catalog, name=served_not)[0] is Status.NOT_FOUND
        assert catalog.names() == [serves]
        assert catalog.config() == config
        eventually(lambda gone=served_not: states_of(catalog, gone) == {1: "END"})
    catalog.reload(old, in_time())
    catalog.reload(configured(), in_time())
    assert catalog.names() == []


def test_a_reload_moves_a_model(begin: Begin, tmp_path: Path) -> None:
    """To another base path, and to another policy."""
    one, two = model_at(tmp_path / "a", "m", 123), model_at(tmp_path / "b", "m", 123, 124)
    catalog = begin(configured(one))
    settle(catalog)
    catalog.reload(configured(two), in_time())
    eventually(lambda: states_of(catalog, "m") == {123: "END", 124: "AVAILABLE"})
    catalog.reload(configured(two + " model_version_policy { all {} }"), in_time())
    eventually(lambda: states_of(catalog, "m") == {123: "AVAILABLE", 124: "AVAILABLE"})
    catalog.reload(configured(one), in_time())
    eventually(lambda: states_of(catalog, "m") == {123: "AVAILABLE", 124: "END"})


def test_a_reload_tells_which_models_failed(begin: Begin, tmp_path: Path) -> None:
    """The others are served all the same."""
    catalog = begin(configured())
    broken = model_at(tmp_path, "broken", 4, fault="broken")
    with pytest.raises(ServingError) as failure:
        catalog.reload(configured(broken, model_at(tmp_path, "good", 1)), in_time())
    assert failure.value.status is Status.INTERNAL
    assert failure.value.message == (
        "1 model(s) did not become available: {{{name: broken version: 4} due to error: "
        "NOT_FOUND: broken}, }"
    )
    assert served(catalog, spec("good")) == 1


def test_a_reload_is_bounded(begin: Begin, tmp_path: Path) -> None:
    """In time, and by its cancellation; it tells what was waited for."""
    catalog = begin(configured())
    config = configured(f"name: 'm' base_path: '{tmp_path / 'm'}'")
    with pytest.raises(ServingError, match="Could not find base path") as failure:
        catalog.reload(config, Bounds(time.monotonic() + 0.05))
    assert failure.value.status is Status.DEADLINE_EXCEEDED
    catalog.reload(configured(), in_time())
    bounds = Bounds()
    bounds.cancellation.cancel()
    with pytest.raises(ServingError) as failure:
        catalog.reload(config, bounds)
    assert failure.value.status is Status.CANCELLED


def test_one_model_can_be_put_and_removed(begin: Begin, tmp_path: Path) -> None:
    """The others stay as they are."""
    catalog = begin(configured(model_at(tmp_path, "kept", 1)), poll_seconds=0.0)
    settle(catalog)
    (model,) = configured(model_at(tmp_path, "m", 1, 2)).model_config_list.config
    catalog.put_model(model, in_time())
    assert (served(catalog, spec("m")), served(catalog, spec("kept"))) == (2, 1)
    model.model_version_policy.specific.versions.append(1)
    catalog.put_model(model, in_time())
    eventually(lambda: states_of(catalog, "m") == {1: "AVAILABLE", 2: "END"})
    catalog.remove_model("m", in_time())
    assert catalog.names() == ["kept"]
    with pytest.raises(ServingError, match="Model m is not served") as failure:
        catalog.remove_model("m", in_time())
    assert failure.value.status is Status.NOT_FOUND
    model.base_path = "relative"
    with pytest.raises(ServingError, match="to have an absolute path"):
        catalog.put_model(model, in_time())
    assert catalog.names() == ["kept"]


def test_a_configuration_may_be_refused_by_others(begin: Begin, tmp_path: Path) -> None:
    """Then nothing of it is served."""

    def check(model: ModelConfig) -> None:
        if model.name == "worse":
            raise invalid("not this one")

    catalog = begin(configured(model_at(tmp_path, "m", 1)), check=check)
    both = configured(model_at(tmp_path, "new", 1), model_at(tmp_path, "worse", 1))
    with pytest.raises(ServingError, match="not this one"):
        catalog.reload(both, in_time())
    assert catalog.names() == ["m"]


@pytest.mark.parametrize("text", ["", "custom_model_config {}"])
def test_a_reload_takes_lists_only(begin: Begin, text: str) -> None:
    """As the original says."""
    catalog = begin(configured())
    with pytest.raises(ServingError) as failure:
        catalog.reload(config_of(text), in_time())
    assert failure.value.message == (
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList "
        "is currently supported"
    )


def test_a_wrong_reload_changes_nothing(begin: Begin, tmp_path: Path) -> None:
    """Neither models nor labels."""
    model = model_at(tmp_path, "m", 1)
    catalog = begin(configured(model))
    settle(catalog)
    label = model + " version_labels { key: '%s' value: %d }"
    catalog.reload(configured(label % ("stable", 1)), in_time())
    before = catalog.config()
    for wrong in [configured(model, model), configured(label % ("stable", 2))]:
        with pytest.raises(ServingError):
            catalog.reload(wrong, in_time())
    assert served(catalog, spec("m", label="stable")) == 1
    assert catalog.config() == before


def test_the_configuration_file_is_followed(
    begin: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong in it is logged, and the old one stays; it wins over a reload."""
    file = tmp_path / "models.config"
    first, second = model_at(tmp_path, "first", 1), model_at(tmp_path, "second", 1)
    _write(file, configured(first))
    told: list[ModelServerConfig] = []
    catalog = begin(
        configured(first), config_file=file, config_poll_seconds=0.02, configured=told.append
    )
    settle(catalog)
    faults = {
        "nonsense": "Failed to read ModelServerConfig file: Invalid protobuf file",
        str(configured(second, second)): "Illegal to list model second multiple times",
        "custom_model_config {}": "Cannot transition to requested config",
    }
    for text, message in faults.items():
        file.write_text(text)
        eventually(lambda message=message: message in caplog.text)
    file.unlink()
    eventually(lambda: f"{file}; No such file or directory" in caplog.text)
    file.write_text("")
    catalog.reload(configured(second), in_time())
    assert catalog.names() == ["second"]
    _write(file, configured(first))
    eventually(lambda: catalog.names() == ["first"] and catalog.ready())
    time.sleep(0.1)
    assert told == [configured(first), configured(second), configured(first)]


def _write(file: Path, config: ModelServerConfig) -> None:
    file.write_text(str(config))
