"""Configuration files in text form, and the words for those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from accel_protocol.errors import Status
from client_runtime.serving.option_choices import single_model
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.text_files import TextFileError, parse_text, read_text_file
from client_runtime.serving_wire import server_config_pb2
from client_runtime.serving_wire.model_management_pb2 import ModelServerConfig


def parsed(text: str) -> ModelServerConfig:
    """A configuration."""
    return parse_text("/a/f", text, ModelServerConfig)


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
    assert parsed(text) == single_model("m", "/m")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("nonsense", '1:1: Message type "tensorflow.serving.ModelServerConfig" has no field named'),
        ("model_config_list {\n  config { nam: 'x' } }", "2:12: Message type"),
        ("model_config_list {\n  config: 7\n}", "2:11: Expected"),
        ("model_config_list { config { name: 'x' ", '1:36: Expected "}"'),
        ("model_config_list { config { name: 5 } }", "1:36: Expected string but found: '5'"),
        ("model_config_list {} custom_model_config {}", "1:22: Field"),
        (
            "model_config_list { config { version_labels { value: 9e99 } } }",
            "1:54: Couldn't parse integer: 9e99",
        ),
    ],
)
def test_what_is_none_has_the_original_words(text: str, place: str) -> None:
    """The detail goes to stderr, the error to stdout; each as TensorFlow Serving has it."""
    with pytest.raises(TextFileError) as raised:
        parsed(text)

    assert raised.value.status is Status.INVALID_ARGUMENT
    assert raised.value.message == "Invalid protobuf file: '/a/f'"
    assert raised.value.detail.startswith(
        f"Error parsing text-format tensorflow.serving.ModelServerConfig: {place}"
    )


def test_nothing_is_an_empty_message() -> None:
    """Which is legal."""
    assert parsed("# nothing\n") == ModelServerConfig()


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Any text is a message or a TextFileError."""
    try:
        assert isinstance(parsed(text), ModelServerConfig)
    except TextFileError as error:
        assert error.detail


@settings(max_examples=25)
@given(st.lists(st.tuples(st.text(), st.text(), st.dictionaries(st.text(), st.integers(0, 9)))))
def test_what_was_written_is_read(models: list[tuple[str, str, dict[str, int]]]) -> None:
    """Any names, paths and labels survive the text form."""
    config = ModelServerConfig()
    for name, path, labels in models:
        config.model_config_list.config.add(name=name, base_path=path, version_labels=labels)
    assert parsed(text_format.MessageToString(config)) == config


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """As any other file that is none."""
    (tmp_path / "f").write_bytes(b"\xff")
    with pytest.raises(ServingError, match=r"Invalid protobuf file: '.*/f'"):
        read_text_file(str(tmp_path / "f"), ModelServerConfig)


def test_no_word_of_a_secret_file_gets_out() -> None:
    """A key that was pasted wrongly is not shown."""
    with pytest.raises(TextFileError) as raised:
        parse_text("f", 'server_key: "SECRET', server_config_pb2.SSLConfig, is_secret=True)

    assert "SECRET" not in raised.value.detail


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """Apart from one that cannot be read."""
    with pytest.raises(ServingError) as raised:
        read_text_file(str(tmp_path / "none"), server_config_pb2.SSLConfig)
    assert raised.value.status is Status.NOT_FOUND

    with pytest.raises(ServingError) as raised:
        read_text_file(str(tmp_path), server_config_pb2.SSLConfig)
    assert raised.value.status is Status.FAILED_PRECONDITION
