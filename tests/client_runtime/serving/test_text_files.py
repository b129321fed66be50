"""Configuration files in text form, and the words for those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.statuses import ServingError
from client_runtime.serving.text_files import TextFileError, parse_text, read_text_file
from client_runtime.serving_wire import model_management_pb2, server_config_pb2


def test_a_message_is_read() -> None:
    """Colons, commas, either quotes and comments are as in protobuf's own library."""
    text = """model_config_list: { # one
      config: { name: 'a', base_path: "/a", model_platform: "tensorflow" } }"""

    config = parse_text("f", text, model_management_pb2.ModelServerConfig)

    assert [one.name for one in config.model_config_list.config] == ["a"]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("improperly formatted", "1:1: Message type"),
        ("model_config_list {\n  config: 7\n}", "2:11: Expected"),
        ("model_config_list {", "1:19: Expected"),
    ],
)
def test_what_is_none_has_the_original_words(text: str, place: str) -> None:
    """The detail goes to stderr, the error to stdout; each as TensorFlow Serving has it."""
    with pytest.raises(TextFileError) as raised:
        parse_text("/a/f", text, model_management_pb2.ModelServerConfig)

    assert raised.value.message == "Invalid protobuf file: '/a/f'"
    assert raised.value.detail.startswith(
        f"Error parsing text-format tensorflow.serving.ModelServerConfig: {place}"
    )


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
