"""Flags that make no sense together, or name nothing to serve. Pure."""

from __future__ import annotations

from accel_protocol.errors import Status
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.statuses import ServingError, invalid

LOAD_FIRST, UNLOAD_FIRST = SWAPS = ("load_first", "unload_first")


def check(settings: Settings) -> None:
    """Check flags against each other, in TensorFlow Serving's order and words.

    Raises:
        ServingError: the server cannot start with them.
    """
    for is_wrong, message in _faults(settings):
        if is_wrong:
            raise invalid(message)
    if settings.use_alts_credentials:
        raise ServingError(
            Status.UNIMPLEMENTED,
            "ALTS works inside Google's cloud only. Use --tls, --tls_cert_file or "
            "--ssl_config_file.",
        )


def _faults(settings: Settings) -> list[tuple[bool, str]]:
    return [
        (
            settings.port == 0 and not settings.grpc_socket_path,
            "At least one of server_options.grpc_port or server_options.grpc_socket_path must be "
            "set.",
        ),
        (
            settings.use_alts_credentials and bool(settings.ssl_config_file),
            "Either use_alts_credentials must be false or ssl_config_file must be empty.",
        ),
        (
            not settings.model_base_path and not settings.model_config_file,
            "Both server_options.model_base_path and server_options.model_config_file are empty!",
        ),
        (
            bool(settings.batching_parameters_file) and not settings.enable_batching,
            "server_options.batching_parameters_file is set without setting "
            "server_options.enable_batching to true.",
        ),
        (
            _sets_all_parallelism(settings),
            "Either configure server_options.tensorflow_session_parallelism or "
            "(server_options.tensorflow_intra_op_parallelism, "
            "server_options.tensorflow_inter_op_parallelism) separately. You cannot configure all.",
        ),
        *_tls_faults(settings),
        (settings.swap not in SWAPS, f"--swap is one of: {', '.join(SWAPS)}."),
        (
            settings.rest_model_management and not _knows_clients(settings),
            "--rest_model_management needs --api_keys_file, or --tls_client_ca_file.",
        ),
        *((port not in range(65536), f"{port} is no port.") for port in _ports(settings)),
    ]


def _tls_faults(settings: Settings) -> list[tuple[bool, str]]:
    given_pair = (bool(settings.tls_cert_file), bool(settings.tls_key_file))
    kinds = sum([settings.tls, bool(settings.ssl_config_file), any(given_pair)])
    return [
        (kinds > 1, "Only one of --tls, --tls_cert_file and --ssl_config_file can be used."),
        (
            given_pair[0] != given_pair[1],
            "--tls_cert_file and --tls_key_file are of use together only.",
        ),
        (
            bool(settings.tls_client_ca_file) and not (settings.tls or any(given_pair)),
            "--tls_client_ca_file needs --tls or --tls_cert_file.",
        ),
        (
            settings.rest_tls and not kinds,
            "--rest_tls needs --tls, --tls_cert_file or --ssl_config_file.",
        ),
    ]


def _knows_clients(settings: Settings) -> bool:
    """Whether not everyone who can reach the REST port may use it."""
    return bool(settings.api_keys_file or settings.tls_client_ca_file)


def _sets_all_parallelism(settings: Settings) -> bool:
    return (
        settings.tensorflow_session_parallelism > 0
        and settings.tensorflow_intra_op_parallelism > 0
        and settings.tensorflow_inter_op_parallelism > 0
    )


def _ports(settings: Settings) -> tuple[int, int]:
    return settings.port, settings.rest_api_port
