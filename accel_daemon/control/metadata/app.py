"""The metadata application: its routes, and what stands in front of them all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from accel_daemon.control.metadata import container_routes, instance_routes
from accel_daemon.control.metadata.guard import TOKEN_PATH, has_token, is_for_us
from accel_daemon.control.metadata.service import METADATA, MetadataService
from accel_daemon.control.metadata.tokens import TOKEN_HEADER

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_metadata_app(service: MetadataService) -> web.Application:
    """The metadata application; serve it on 127.0.0.1 only."""
    app = web.Application(middlewares=[_guard], client_max_size=1024)
    app[METADATA] = service
    app.router.add_put(TOKEN_PATH, instance_routes.issue_token)
    app.router.add_get("/v2/credentials/{id}", container_routes.credentials)
    for version in ("/v3", "/v4"):
        # Container metadata: everything below the id is the path of a document.
        app.router.add_get(version + "/{id}", container_routes.metadata)
        app.router.add_get(version + "/{id}/{path:.*}", container_routes.metadata)
    app.router.add_get("/{path:.*}", instance_routes.metadata)
    return app


@web.middleware
async def _guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
    service = request.app[METADATA]
    if not is_for_us(request.headers.getall("Host", []), "X-Forwarded-For" in request.headers):
        raise web.HTTPForbidden
    token, rule = request.headers.get(TOKEN_HEADER), service.options.tokens
    if not has_token(request.path, token, service.tokens, rule):
        raise web.HTTPUnauthorized
    return await handler(request)
