"""Flags that make no sense together are refused before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.flags.contradictions import check
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.statuses import ServingError

GOOD = Settings(model_base_path="/models/m")
BAD: list[tuple[dict[str, Any], str]] = [
    ({"port": 0}, "At least one of server_options.grpc_port or"),
    (
        {"use_alts_credentials": True, "ssl_config_file": "f"},
        "Either use_alts_credentials must be false or ssl_config_file must be empty.",
    ),
    (
        {"model_base_path": ""},
        "Both server_options.model_base_path and server_options.model_config_file are empty!",
    ),
    (
        {"batching_parameters_file": "f"},
        "server_options.batching_parameters_file is set without setting",
    ),
    (
        {
            "tensorflow_session_parallelism": 1,
            "tensorflow_intra_op_parallelism": 1,
            "tensorflow_inter_op_parallelism": 1,
        },
        "You cannot configure all.",
    ),
    ({"tls": True, "ssl_config_file": "f"}, "Only one of --tls"),
    ({"tls_cert_file": "f", "tls_key_file": "f", "tls": True}, "Only one of --tls"),
    ({"tls_cert_file": "f"}, "of use together only"),
    ({"tls_client_ca_file": "f"}, "--tls_client_ca_file needs"),
    ({"rest_tls": True}, "--rest_tls needs"),
    ({"swap": "first"}, "--swap is one of: load_first, unload_first."),
    ({"rest_model_management": True}, "--rest_model_management needs"),
    ({"port": 65536}, "65536 is no port."),
    ({"rest_api_port": -1}, "-1 is no port."),
    ({"use_alts_credentials": True}, "ALTS"),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_contradictions_are_refused(changes: dict[str, Any], message: str) -> None:
    """In the original's words where it has some."""
    with pytest.raises(ServingError, match=message.replace("(", r"\(")) as raised:
        check(replace(GOOD, **changes))

    assert raised.value.status in (Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"port": 0, "grpc_socket_path": "/tmp/s"},
        {"model_base_path": "", "model_config_file": "f"},
        {"enable_batching": True, "batching_parameters_file": "f"},
        {"tls": True, "tls_client_ca_file": "f", "rest_tls": True},
        {"tls_cert_file": "f", "tls_key_file": "f"},
        {"swap": "unload_first", "rest_model_management": True, "api_keys_file": "f"},
        {"tensorflow_session_parallelism": 1, "tensorflow_intra_op_parallelism": 1},
    ],
)
def test_what_makes_sense_is_accepted(changes: dict[str, Any]) -> None:
    """The neighbours of the refusals."""
    check(replace(GOOD, **changes))
