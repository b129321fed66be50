"""From the flags to the options of each room, with the configuration files that they name."""

from __future__ import annotations

from pathlib import Path

from client_runtime.serving.events import Observer
from client_runtime.serving.flags.contradictions import UNLOAD_FIRST
from client_runtime.serving.flags.settings import Settings
from client_runtime.serving.inference.options import AnswerForm, InferenceOptions
from client_runtime.serving.models.labels import LabelRule
from client_runtime.serving.models.ledger import LoadRules
from client_runtime.serving.models.options import CatalogOptions
from client_runtime.serving.models.plan import Swap
from client_runtime.serving.rest.options import RestOptions
from client_runtime.serving.server import threads
from client_runtime.serving.telemetry.metrics import metrics_path
from client_runtime.serving.text_files import read_text_file
from client_runtime.serving_wire import model_management_pb2, server_config_pb2

_BATCH_THREADS = "model_server_batch_threads"


def model_config(settings: Settings) -> model_management_pb2.ModelServerConfig:
    """What to serve.

    Raises:
        ServingError: the file that says it cannot be used.
    """
    if settings.model_config_file:
        return read_text_file(settings.model_config_file, model_management_pb2.ModelServerConfig)
    return single_model(settings.model_name, settings.model_base_path)


def single_model(name: str, base_path: str) -> model_management_pb2.ModelServerConfig:
    """The configuration that `--model_name` and `--model_base_path` stand for."""
    config = model_management_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform="tensorflow")
    return config


def catalog_options(settings: Settings) -> CatalogOptions:
    """How versions are found, loaded and unloaded."""
    rule = LabelRule.AVAILABLE_ONLY
    if settings.serve_ready_models:
        rule = LabelRule.WHEN_AVAILABLE
    elif settings.allow_version_labels_for_unavailable_models:
        rule = LabelRule.NEW_OR_SAME
    retries = max(0, settings.max_num_load_retries)
    file = settings.model_config_file
    return CatalogOptions(
        poll_seconds=settings.file_system_poll_wait_seconds,
        config_file=Path(file) if file else None,
        config_poll_seconds=settings.model_config_file_poll_wait_seconds,
        load_threads=max(0, settings.num_load_threads),
        unload_threads=max(0, settings.num_unload_threads),
        load_seconds=settings.load_seconds if settings.load_seconds > 0 else None,
        label_rule=rule,
        serve_what_is_ready=settings.serve_ready_models,
        rules=LoadRules(
            retries=None if settings.serve_ready_models else retries,
            retry_interval=max(0, settings.load_retry_interval_micros) / 1e6,
            swap=Swap.UNLOAD_FIRST if settings.swap == UNLOAD_FIRST else Swap.LOAD_FIRST,
        ),
    )


def inference_options(settings: Settings, observe: Observer) -> InferenceOptions:
    """How versions are loaded and requests answered.

    Raises:
        ServingError: the file of batching parameters cannot be used.
    """
    content = settings.enable_serialization_as_tensor_content
    per_model = settings.enable_batching and settings.enable_per_model_batching_parameters
    return InferenceOptions(
        tags=tuple(filter(None, settings.saved_model_tags.split(","))),
        answer_form=AnswerForm.CONTENT if content else AnswerForm.VALUES,
        check_method_names=settings.enable_signature_method_name_check,
        warm_up=settings.enable_model_warmup,
        warm_up_iterations=max(1, settings.num_request_iterations_for_warmup),
        batching=_batching(settings),
        batching_per_model=per_model,
        default_replicas=max(0, settings.replicas),
        observer=observe,
    )


def rest_options(settings: Settings) -> RestOptions:
    """How the REST API is served."""
    return RestOptions(
        threads=threads(settings.rest_api_num_threads),
        timeout_seconds=settings.rest_api_timeout_in_ms / 1000,
        cors=settings.rest_api_enable_cors_support,
    )


def metrics_path_of(settings: Settings) -> str | None:
    """Where the REST port has metrics; None for nowhere.

    Raises:
        ServingError: the file that says it cannot be used.
    """
    if not settings.monitoring_config_file:
        return None
    return metrics_path(
        read_text_file(settings.monitoring_config_file, server_config_pb2.MonitoringConfig)
    )


def _batching(settings: Settings) -> server_config_pb2.BatchingParameters | None:
    if not settings.enable_batching:
        return None
    if file := settings.batching_parameters_file:
        return read_text_file(file, server_config_pb2.BatchingParameters)
    parameters = server_config_pb2.BatchingParameters()
    parameters.thread_pool_name.value = _BATCH_THREADS
    return parameters
