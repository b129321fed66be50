"""The HTTP side of container metadata and container credentials."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web

from accel_daemon.control.metadata.container import (
    KIND,
    Container,
    association_document,
    associations_document,
    container_document,
    task_document,
)
from accel_daemon.control.metadata.role_credentials import role_document
from accel_daemon.control.metadata.service import METADATA, check_peer
from accel_protocol.errors import AcceleratorError


async def metadata(request: web.Request) -> web.Response:
    """`GET /v4/ID…`, and the same of version 3: what the agent says of a container."""
    container = request.app[METADATA].container
    text = None
    if request.match_info["id"] == container.id:
        text = _document(container, request.match_info.get("path", "").removesuffix("/"))
    if text is None:
        # As the agent refuses: status 400 and a JSON text.
        return _json(json.dumps("There is no such container, or nothing at this path."), 400)
    return _json(text)


async def credentials(request: web.Request) -> web.Response:
    """`GET /v2/credentials/ID`: for who shows the token, or may have credentials without it."""
    service = request.app[METADATA]
    token = request.headers.get("Authorization")
    if service.roles is None or not service.container.is_credentials_id(request.match_info["id"]):
        return _refusal("InvalidIdInRequest", "There are no credentials of this id.", 400)
    if token is None:
        check_peer(request)
    elif not service.container.is_token(token):
        return _refusal("AccessDenied", "The authorization token is wrong.", 403)
    facts = service.roles.container.role.find()
    if facts is None:
        return _refusal("InvalidIdInRequest", "The task has no role.", 404)
    try:
        return _json(role_document(service.roles.container.current(facts), facts.arn))
    except AcceleratorError as error:
        return _refusal("NoCredentials", error.message, 404)


def _document(container: Container, path: str) -> str | None:
    match path.split("/"):
        case [""]:
            return json.dumps(container_document(container))
        case ["task"]:
            return json.dumps(task_document(container))
        case ["associations", kind] if kind == KIND:
            return associations_document(container)
        case ["associations", kind, name] if kind == KIND:
            return association_document(container, name)
    return None


def _refusal(code: str, message: str, status: int) -> web.Response:
    body: Mapping[str, object] = {"code": code, "message": message, "HTTPErrorCode": status}
    return _json(json.dumps(body), status)


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")
