"""All flags of `accel serve`: TensorFlow Serving's with its defaults, then those it does not have.

A new flag is a new field here: the grammar, the usage and the check of docs/serving.md follow.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from client_runtime.serving.flags.grammar import flag

_ENGINE = "models run on the accelerator, whose daemon decides this"
_TFLITE = "there is no TensorFlow Lite here; saved_model.pb is served"
_XLA = "the accelerator's engine decides what it compiles"


@dataclass(frozen=True)
class Settings:
    """What the command line says; every field is a flag of the same name."""

    port: int = flag(8500, "TCP port of the gRPC API, on 0.0.0.0. 0 for none.")
    grpc_socket_path: str = flag("", "UNIX socket on which the gRPC API is served too.")
    rest_api_port: int = flag(0, "Port of the REST API. 0 for none; not the one of --port.")
    rest_api_num_threads: int = flag(
        0, "Threads that answer REST requests. 0 for 4 for each CPU, at least 64."
    )
    rest_api_timeout_in_ms: int = flag(30000, "How long a REST request may take.")
    rest_api_enable_cors_support: bool = flag(False, "Allow web pages of any origin to ask.")
    enable_batching: bool = flag(False, "Put requests together into batches.")
    allow_version_labels_for_unavailable_models: bool = flag(
        False, "Allow new version labels for versions that are not available yet."
    )
    batching_parameters_file: str = flag(
        "", "Text BatchingParameters to use instead of the defaults."
    )
    enable_per_model_batching_parameters: bool = flag(
        False,
        "Read batching_params.pbtxt of each version's folder. Models without it are not batched, "
        "and of --batching_parameters_file only the thread pool counts.",
    )
    model_config_file: str = flag(
        "", "Text ModelServerConfig: which models to serve. --model_name is then ignored."
    )
    model_config_file_poll_wait_seconds: int = flag(
        0, "How often to read --model_config_file again. 0 for once."
    )
    model_name: str = flag("default", "Name of the model of --model_base_path.")
    model_base_path: str = flag("", "Folder with the model's numbered version folders.")
    num_load_threads: int = flag(
        0, "Versions that are loaded at the same time. 0 for 4 for each CPU."
    )
    num_unload_threads: int = flag(
        0, "Versions that are unloaded at the same time. 0 for 4 for each CPU."
    )
    max_num_load_retries: int = flag(5, "How often loading is tried again after it failed.")
    load_retry_interval_micros: int = flag(
        60_000_000, "Time between two tries to load. Negative for none.", kind="int64"
    )
    file_system_poll_wait_seconds: int = flag(
        1,
        "How often to look for new versions. 0 for once, at the start; negative for never.",
    )
    flush_filesystem_caches: bool = flag(
        True,
        "Drop the system's file caches after loads.",
        instead="weights are read by the accelerator's daemon",
    )
    tensorflow_session_parallelism: int = flag(
        0, "Threads of a TensorFlow session.", kind="int64", instead=_ENGINE
    )
    tensorflow_session_config_file: str = flag("", "Text ConfigProto.", instead=_ENGINE)
    tensorflow_intra_op_parallelism: int = flag(
        0, "Threads for one operation.", kind="int64", instead=_ENGINE
    )
    tensorflow_inter_op_parallelism: int = flag(
        0, "Operations at the same time.", kind="int64", instead=_ENGINE
    )
    use_alts_credentials: bool = flag(
        False, "Use Google's ALTS. Refused: use --tls, --tls_cert_file or --ssl_config_file."
    )
    ssl_config_file: str = flag("", "Text SSLConfig with the PEM texts for TLS on gRPC.")
    platform_config_file: str = flag(
        "",
        "Text PlatformConfigMap.",
        instead="there is one platform, tensorflow; batching has flags of its own",
    )
    per_process_gpu_memory_fraction: float = flag(
        0.0, "Fraction of the GPU's memory to take.", instead=_ENGINE
    )
    saved_model_tags: str = flag("serve", "Tags of the graph to load, separated by commas.")
    grpc_channel_arguments: str = flag("", "Arguments of the gRPC server: name=value,name=value")
    grpc_max_threads: int = flag(
        0, "Threads that answer gRPC requests. 0 for 4 for each CPU, at least 64."
    )
    enable_model_warmup: bool = flag(
        True, "Run assets.extra/tf_serving_warmup_requests before a version is available."
    )
    num_request_iterations_for_warmup: int = flag(
        0, "How often each warm-up request is run. 0 for once."
    )
    version: bool = flag(False, "Print the version and exit.")
    monitoring_config_file: str = flag("", "Text MonitoringConfig: metrics on the REST port.")
    remove_unused_fields_from_bundle_metagraph: bool = flag(
        True, "Drop parts of the graph that are not used.", instead="nothing is kept of it here"
    )
    prefer_tflite_model: bool = flag(False, "Serve model.tflite.", instead=_TFLITE)
    num_tflite_pools: int = flag(0, "Pools of interpreters.", instead=_TFLITE)
    num_tflite_interpreters_per_pool: int = flag(1, "Interpreters of a pool.", instead=_TFLITE)
    enable_signature_method_name_check: bool = flag(
        False, "Refuse signatures whose method_name is not the one of the API that is called."
    )
    xla_cpu_compilation_enabled: bool = flag(False, "Compile for CPUs.", instead=_XLA)
    xla_gpu_compilation_enabled: bool = flag(False, "Compile for CPUs and GPUs.", instead=_XLA)
    enable_profiler: bool = flag(True, "Serve TensorFlow's ProfilerService on the gRPC port.")
    thread_pool_factory_config_file: str = flag("", "Text ThreadPoolConfig.", instead=_ENGINE)
    mixed_precision: str = flag("", 'Compute in "bfloat16".', instead=_ENGINE)
    skip_initialize_tpu: bool = flag(False, "Do not initialize a TPU.", instead=_ENGINE)
    enable_grpc_healthcheck_service: bool = flag(
        True, "Serve grpc.health.v1 on the gRPC port. The original's default is false."
    )
    enable_serialization_as_tensor_content: bool = flag(
        False, "Answer Predict with tensor_content instead of typed values."
    )

    use_ei: bool = flag(
        True, "Run models on accelerators; false: in this process, with TensorFlow.", ours=True
    )
    accelerator_ids: str = flag(
        "",
        "Ordinals or ids of the accelerators to use, separated by commas, instead of those that "
        "EI_VISIBLE_DEVICES names. The default is all.",
        ours=True,
    )
    replicas: int = flag(
        1, "On how many accelerators each version is loaded. 0 for all of them.", ours=True
    )
    tls: bool = flag(
        False,
        "TLS on all ports with the certificate that `accel-daemon certificate` made.",
        ours=True,
    )
    tls_cert_file: str = flag("", "PEM certificate (chain) for TLS on all ports.", ours=True)
    tls_key_file: str = flag("", "PEM key of --tls_cert_file.", ours=True)
    tls_client_ca_file: str = flag(
        "", "PEM authority that must have signed the clients' certificates.", ours=True
    )
    rest_tls: bool = flag(False, "Use the TLS of --ssl_config_file for REST too.", ours=True)
    api_keys_file: str = flag(
        "", "File of hashed API keys; requests then need one of them.", ours=True
    )
    drain_seconds: float = flag(
        30.0, "How long requests may still take when the server is told to end.", ours=True
    )
    max_requests_in_flight: int = flag(
        0,
        "Inference requests that are answered at once, by both APIs; more are refused. 0 for any "
        "number.",
        ours=True,
    )
    serve_ready_models: bool = flag(
        False, "Open the ports at once and serve those models that are ready.", ours=True
    )
    swap: str = flag(
        "load_first",
        "What comes first when a version follows another: load_first, so that one always answers, "
        "or unload_first, for memory that has no room for two.",
        ours=True,
    )
    load_seconds: float = flag(
        0.0, "How long one try to load a version may take. 0 for any time.", ours=True
    )
    rest_model_management: bool = flag(
        False,
        "Let REST requests add and remove single models. Needs --api_keys_file or client "
        "certificates.",
        ours=True,
    )
    access_log: str = flag(
        "", 'File that gets a line of JSON for each request; "-" for standard error.', ours=True
    )
    request_log_folder: str = flag(
        "",
        "Folder below which the files of logging_config have to be. The default is anywhere.",
        ours=True,
    )
    max_request_log_files: int = flag(
        0, "Files of each request log that are kept, the newest. 0 for all.", ours=True
    )
