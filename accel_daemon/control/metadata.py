"""Instance metadata as EC2 serves it, as far as finding attached accelerators needs it.

Plain HTTP, on the loopback address only, and nothing secret in it. Like the real one it refuses
what came through a proxy, and unlike the real one it looks at the Host header, so that a web page
in a browser of this machine cannot read it through a name of its own (DNS rebinding).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from accel_daemon.supervisor.fleet import Fleet
from accel_protocol.errors import ConfigurationError

TOKEN_HEADER = "X-aws-ec2-metadata-token"  # noqa: S105 - a header's name
TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL_SECONDS = 21_600
MAX_TOKENS = 1024
FOLDER_VERSION = "version_2018_04_12"

_HOSTS = ("127.0.0.1", "localhost", "169.254.169.254")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Tokens:
    """Session tokens and when they end; the oldest are forgotten when there are too many."""

    clock: Callable[[], float] = time.monotonic
    _ends: dict[str, float] = field(default_factory=dict)

    def issue(self, seconds: int) -> str:
        """A new token."""
        while len(self._ends) >= MAX_TOKENS:
            self._ends.pop(next(iter(self._ends)))
        token = secrets.token_urlsafe(32)
        self._ends[token] = self.clock() + seconds
        return token

    def is_good(self, token: str) -> bool:
        """Whether it was issued here and has not ended."""
        return self.clock() < self._ends.get(token, float("-inf"))


@dataclass(frozen=True)
class Instance:
    """The instance that the metadata is about; `control` is "" when nobody is to be told."""

    fleet: Fleet
    region: str
    control: str = ""
    tokens: Tokens = field(default_factory=Tokens)


INSTANCE = web.AppKey("instance", Instance)


def availability_zone(region: str) -> str:
    """The one zone of the emulated region."""
    return f"{region}a"


def instance_id(fleet: Fleet) -> str:
    """An instance id that stays the same as long as the first accelerator's id does."""
    return f"i-{fleet.accelerators[0].id.removeprefix('eia-')[:17]}"


def build_metadata_app(fleet: Fleet, region: str, control: str = "") -> web.Application:
    """The metadata application; serve it on 127.0.0.1 only.

    Args:
        fleet: the accelerators that are attached to the instance.
        region: of the instance.
        control: "https://HOST:PORT" of the control endpoint.
    """
    app = web.Application(middlewares=[_guard], client_max_size=1024)
    app[INSTANCE] = Instance(fleet, region, control)
    app.router.add_put("/latest/api/token", _issue_token)
    data = "/latest/meta-data"
    app.router.add_get(f"{data}/elastic-inference/", _list_folder)
    app.router.add_get(f"{data}/elastic-inference/associations", _list_associations)
    app.router.add_get(f"{data}/elastic-inference/associations/", _list_associations)
    app.router.add_get(f"{data}/elastic-inference/associations/{{id}}", _association)
    # Ours: EC2's clients knew the one endpoint of their region. Not in the folder's listing, which
    # stays what it was.
    app.router.add_get(f"{data}/elastic-inference/endpoint", _endpoint)
    app.router.add_get(f"{data}/placement/availability-zone", _zone)
    app.router.add_get(f"{data}/placement/region", _region)
    app.router.add_get(f"{data}/instance-id", _instance_id)
    return app


def is_local_host(header: str) -> bool:
    """Whether a Host header names this service by an address or name that only means this host."""
    host, colon, port = header.partition(":")
    return host.lower() in _HOSTS and (not colon or port.isdecimal())


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not is_local_host(hosts[0]) or "X-Forwarded-For" in request.headers:
        raise web.HTTPForbidden
    # Version 1 of the service asks for no token; a token that is given must be good.
    token = request.headers.get(TOKEN_HEADER)
    if token is not None and not request.app[INSTANCE].tokens.is_good(token):
        raise web.HTTPUnauthorized
    return await handler(request)


async def _issue_token(request: web.Request) -> web.Response:
    text = request.headers.get(TTL_HEADER, "")
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    if not is_number or not 1 <= int(text) <= MAX_TTL_SECONDS:
        raise web.HTTPBadRequest
    token = request.app[INSTANCE].tokens.issue(int(text))
    return web.Response(text=token, headers={TTL_HEADER: text})


async def _list_folder(request: web.Request) -> web.Response:
    return web.Response(text="associations/")


async def _list_associations(request: web.Request) -> web.Response:
    fleet = request.app[INSTANCE].fleet
    return web.Response(text="\n".join(one.id for one in fleet.accelerators))


async def _association(request: web.Request) -> web.Response:
    try:
        (accelerator,) = request.app[INSTANCE].fleet.select(request.match_info["id"])
    except ConfigurationError:
        raise web.HTTPNotFound from None
    body = {
        FOLDER_VERSION: {
            "elastic-inference-accelerator-id": accelerator.id,
            "elastic-inference-accelerator-type": accelerator.placement.spec.type,
        }
    }
    return web.Response(text=json.dumps(body, separators=(",", ":")))


async def _endpoint(request: web.Request) -> web.Response:
    control = request.app[INSTANCE].control
    if not control:
        raise web.HTTPNotFound
    return web.Response(text=control)


async def _zone(request: web.Request) -> web.Response:
    return web.Response(text=availability_zone(request.app[INSTANCE].region))


async def _region(request: web.Request) -> web.Response:
    return web.Response(text=request.app[INSTANCE].region)


async def _instance_id(request: web.Request) -> web.Response:
    return web.Response(text=instance_id(request.app[INSTANCE].fleet))
