"""Configurations as text."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol.errors import Status
from client_runtime.serving.models import config_text
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.model_management_pb2 import ModelServerConfig


@pytest.mark.parametrize(
    "text",
    [
        "model_config_list { config { name: 'm' base_path: '/m' model_platform: 'tensorflow' } }",
        'model_config_list: { config: { name: "m", base_path: "/m", '
        'model_platform: "tensorflow" } }',
        "# a comment\nmodel_config_list {\n  config {\n    name: 'm' # the name\n    base_path: "
        "'/m'\n    model_platform: 'tensor' 'flow'\n  },\n}\n",
        "model_config_list < config [ { name: 'm'; base_path: '/m'; model_platform: 'tensorflow' "
        "} ] >",
    ],
)
def test_every_way_to_write_it_is_read(text: str) -> None:
    """Colons, commas, semicolons, both quotes, comments, lists and angle brackets."""
    assert config_text.parse(text) == config_text.single_model("m", "/m")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", '1:1: Message type "tensorflow.serving.ModelServerConfig" has no field named'),
        ("model_config_list {\n  config { nam: 'x' } }", "2:12: Message type"),
        ("model_config_list { config { name: 'x' ", '1:36: Expected "}"'),
        ("model_config_list { config { name: 5 } }", "1:36: Expected string but found: '5'"),
        ("model_config_list {} custom_model_config {}", "1:22: Field"),
        (
            "model_config_list { config { version_labels { value: 9e99 } } }",
            "1:54: Couldn't parse integer: 9e99",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, message: str) -> None:
    """Line and column, and what is wrong there."""
    with pytest.raises(ServingError) as failure:
        config_text.parse(text)
    assert failure.value.status is Status.INVALID_ARGUMENT
    assert failure.value.message.startswith(
        f"Error parsing text-format tensorflow.serving.ModelServerConfig: {message}"
    )


def test_nothing_is_an_empty_configuration() -> None:
    """Which is legal, and asks for no action."""
    assert config_text.parse("# nothing\n").WhichOneof("config") is None


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Any text is a configuration or a ServingError."""
    try:
        config = config_text.parse(text)
    except ServingError:
        return
    assert isinstance(config, ModelServerConfig)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.text(), st.text(), st.dictionaries(st.text(), st.integers(0, 9)))))
def test_what_was_written_is_read(models: list[tuple[str, str, dict[str, int]]]) -> None:
    """Any names, paths and labels survive the text form."""
    config = ModelServerConfig()
    for name, path, labels in models:
        config.model_config_list.config.add(name=name, base_path=path, version_labels=labels)
    assert config_text.parse(text_format.MessageToString(config)) == config
