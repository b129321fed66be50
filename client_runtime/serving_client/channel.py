"""gRPC to a TensorFlow Serving server: the channel, the calls, and errors turned into ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from client_runtime.serving_client.errors import (
    RequestError,
    ServingClientError,
    from_status,
    invalid,
)
from client_runtime.serving_wire.methods import SERVICES

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Security:
    """How a server is reached, and who calls.

    Attributes:
        tls: whether by TLS; where a file is given, it is.
        ca_file: PEM; the authorities to trust instead of the system's.
        cert_file, key_file: PEM; the client's own certificate, for servers that want one.
        server_name: that the server's certificate must hold instead of the address's.
        token: sent as "authorization: Bearer TOKEN".
        api_key: sent as "x-api-key".
    """

    tls: bool = False
    ca_file: str | Path | None = None
    cert_file: str | Path | None = None
    key_file: str | Path | None = None
    server_name: str | None = None
    token: str | None = None
    api_key: str | None = None

    def metadata(self) -> Metadata:
        """What every call carries."""
        pairs = [("authorization", self.token and f"Bearer {self.token}")]
        pairs.append(("x-api-key", self.api_key))
        return tuple((name, value) for name, value in pairs if value)


class Caller:
    """Calls the methods of one server. Thread-safe."""

    def __init__(
        self, address: str, security: Security, max_message_bytes: int | None = None
    ) -> None:
        self._channel = _open(address, security, max_message_bytes)
        self._metadata = security.metadata()
        self._calls = {
            (service, method.name): self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for service, methods in SERVICES.items()
            for method in methods.values()
        }

    def call(self, service: str, method: str, request: Any, timeout: float | None) -> Any:
        """The answer of a method.

        Raises:
            ServingClientError: it ended with another status than OK.
        """
        try:
            return self._calls[service, method](request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise typed(error) from error
        except ValueError as error:
            raise _closed(error) from error

    async def call_async(
        self, service: str, method: str, request: Any, timeout: float | None
    ) -> Any:
        """The same for asyncio; cancelling the task cancels the call.

        Raises:
            ServingClientError: as above.
        """
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        try:
            call = self._calls[service, method].future(
                request, timeout=timeout, metadata=self._metadata
            )
        except ValueError as error:
            raise _closed(error) from error
        call.add_done_callback(lambda _: _tell(loop, done.set))
        try:
            await done.wait()
        except asyncio.CancelledError:
            call.cancel()
            raise
        try:
            return call.result()
        except grpc.RpcError as error:
            raise typed(error) from error
        except grpc.FutureCancelledError as error:
            raise from_status("CANCELLED", "The client was closed.") from error

    def close(self) -> None:
        """Cancel what is under way."""
        self._channel.close()


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)


def _open(address: str, security: Security, max_message_bytes: int | None) -> grpc.Channel:
    size = -1 if max_message_bytes is None else max_message_bytes
    options: list[tuple[str, str | int]] = [
        ("grpc.max_receive_message_length", size),
        ("grpc.max_send_message_length", size),
        # Clients with other credentials must not share this one's connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    files = (security.ca_file, security.key_file, security.cert_file)
    if not security.tls and files == (None, None, None):
        return grpc.insecure_channel(address, options)
    if security.server_name:
        options.append(("grpc.ssl_target_name_override", security.server_name))
    credentials = grpc.ssl_channel_credentials(*_contents(files))
    return grpc.secure_channel(address, credentials, options)


def _contents(files: Sequence[str | Path | None]) -> list[bytes | None]:
    try:
        return [None if file is None else Path(file).read_bytes() for file in files]
    except OSError as error:
        raise invalid(f"{error.filename} cannot be read: {error.strerror}.") from error


def typed(error: Any) -> ServingClientError:
    """Our error for a failed gRPC call."""
    return from_status(error.code().name, error.details() or "The call failed.")


def _closed(error: ValueError) -> Exception:
    if "closed channel" not in str(error):
        return error
    return RequestError("FAILED_PRECONDITION", "The client is closed.")
