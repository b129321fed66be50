"""gRPC to one accelerator: the TLS channel, plain calls, and errors turned into ours."""

from __future__ import annotations

import atexit
import ctypes
import weakref
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from accel_protocol import errors
from accel_protocol.errors import (
    AcceleratorError,
    ConfigurationError,
    ConnectionLostError,
    LimitError,
    PeerIdentityError,
)
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.methods import ERROR_METADATA, METHODS, REQUEST_ID_METADATA
from accel_protocol.v1 import accelerator_pb2 as pb
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport.grants import Grant

_CANCELLED_HERE = "Locally cancelled by application!"
# What gRPC makes of a reset with ENHANCE_YOUR_CALM or INADEQUATE_SECURITY.
_RESETS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.PERMISSION_DENIED)
_TLS_FAILURES = ("CERTIFICATE_VERIFY_FAILED", "Ssl handshake failed", "Peer name", "SSL_ERROR")


_streams: weakref.WeakSet[Any] = weakref.WeakSet()


def keep_past_exit(stream: Any) -> None:
    """Let a stream of gRPC outlive the interpreter, if it lives until then.

    When it is collected it takes a lock. One of gRPC's own threads may hold that at the moment when
    the interpreter stops all threads, and the process then never ends.
    """
    _streams.add(stream)


@atexit.register
def _keep() -> None:
    for stream in list(_streams):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(stream))


def open_channel(endpoint: Endpoint, grant: Grant) -> grpc.Channel:
    """A channel that trusts the endpoint's authority and accepts this accelerator only.

    Raises:
        ConfigurationError: the CA file cannot be read.
    """
    credentials = grpc.ssl_channel_credentials(_authority(endpoint))
    return grpc.secure_channel(grant.address, credentials, options=_options(grant))


def _authority(endpoint: Endpoint) -> bytes | None:
    if endpoint.ca_file is None:
        return None
    try:
        with open(endpoint.ca_file, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise ConfigurationError(
            f"The CA file {endpoint.ca_file} cannot be read: {error.strerror}."
        ) from error


def _options(grant: Grant) -> list[tuple[str, str | int]]:
    return [
        # The certificate must name the accelerator itself, whatever address leads to it.
        ("grpc.ssl_target_name_override", grant.server_name),
        ("grpc.max_receive_message_length", DEFAULT_LIMITS.message_bytes),
        ("grpc.max_send_message_length", DEFAULT_LIMITS.message_bytes),
        # Channels of other grants must not share this one's connection.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # A host that vanished is noticed within half a minute, also in the middle of a call.
        ("grpc.keepalive_time_ms", 15_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def metadata(grant: Grant) -> tuple[tuple[str, str], ...]:
    """What every call carries."""
    return (("authorization", f"Bearer {grant.ticket}"),)


def call(
    channel: grpc.Channel, grant: Grant, name: str, request: Any, timeout: float | None = None
) -> Any:
    """Call a method by name; `request` is a message, or an iterator where the client streams.

    Answers a message, or a list of them where the accelerator streams. After `timeout` seconds the
    call is given up.

    Raises:
        AcceleratorError: as the accelerator refused it, or as the network failed.
    """
    method = METHODS[name]
    kind = f"{'stream' if method.client_streams else 'unary'}_" + (
        "stream" if method.server_streams else "unary"
    )
    invoke = getattr(channel, kind)(
        method.path,
        request_serializer=_written,
        response_deserializer=method.response.FromString,
    )
    try:
        answer = invoke(request, metadata=metadata(grant), timeout=timeout)
        if not method.server_streams:
            return answer
        keep_past_exit(answer)
        return list(answer)
    except grpc.RpcError as error:
        raise typed(error) from error
    except ValueError as error:
        raise closed(error) from error


def _written(request: Any) -> bytes:
    """A message's bytes; those of an upload are written already."""
    data: bytes = request if isinstance(request, bytes) else request.SerializeToString()
    return data


def closed(error: ValueError) -> AcceleratorError | ValueError:
    """Our error for a call on a channel that another thread closed, to attach anew; else as is."""
    if "closed channel" not in str(error):
        return error
    return ConnectionLostError("The connection was given up meanwhile.")


def typed(error: Any) -> AcceleratorError:
    """Our error for a failed gRPC call."""
    trailers = dict(error.trailing_metadata() or ())
    data = trailers.get(ERROR_METADATA)
    if isinstance(data, bytes):
        try:
            return from_message(pb.Error.FromString(data))
        except DecodeError:
            pass
    details = error.details() or "The connection to the accelerator failed."
    if error.code() is grpc.StatusCode.UNAVAILABLE and any(t in details for t in _TLS_FAILURES):
        return PeerIdentityError(f"The accelerator did not prove its identity: {details}")
    request_id = str(trailers.get(REQUEST_ID_METADATA, ""))
    if _is_grpcs_own(error.code(), details):
        return ConnectionLostError(details, request_id=request_id)
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return LimitError(details, request_id=request_id)
    return errors.from_wire("", details, request_id=request_id, status=error.code().value[0])


def _is_grpcs_own(code: grpc.StatusCode, details: str) -> bool:
    """Whether gRPC itself says that a stream was reset or a connection ended.

    An accelerator says what it refuses in a trailer. Without one, CANCELLED, INTERNAL and
    UNAVAILABLE are what gRPC makes of RST_STREAM, GOAWAY and connections that end.
    """
    if code is grpc.StatusCode.CANCELLED:
        return details != _CANCELLED_HERE
    if code is grpc.StatusCode.UNKNOWN:
        return details == "Stream removed"
    if code in _RESETS:
        return "RST_STREAM" in details
    return code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)


def from_message(message: pb.Error) -> AcceleratorError:
    """Our error for one that came as a message."""
    return errors.from_wire(
        message.reason,
        message.message,
        remedy=message.remedy,
        request_id=message.request_id,
        fields=dict(message.fields),
        status=message.status,
    )
