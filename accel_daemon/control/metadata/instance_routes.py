"""The HTTP side of instance metadata."""

from __future__ import annotations

from aiohttp import web

from accel_daemon.control.metadata.folders import look_up
from accel_daemon.control.metadata.instance import VERSIONS, identity_document, root_folder
from accel_daemon.control.metadata.role_credentials import (
    RoleFacts,
    failure_document,
    info_document,
    instance_document,
)
from accel_daemon.control.metadata.service import METADATA, MetadataService, check_peer
from accel_daemon.control.metadata.tokens import TTL_HEADER, read_seconds
from accel_protocol.errors import AcceleratorError


async def issue_token(request: web.Request) -> web.Response:
    """`PUT /latest/api/token`: a session token of version 2."""
    seconds = read_seconds(request.headers.get(TTL_HEADER, ""))
    if seconds is None:
        raise web.HTTPBadRequest
    token = request.app[METADATA].tokens.issue(seconds)
    return web.Response(text=token, headers={TTL_HEADER: str(seconds)})


async def metadata(request: web.Request) -> web.Response:
    """`GET` of everything else: a text, or a folder's listing."""
    service, path = request.app[METADATA], request.match_info["path"].removesuffix("/")
    version, _, rest = path.partition("/")
    match rest.split("/") if version in VERSIONS else []:
        case ["meta-data", "iam", "info"]:
            return _profile(service)
        case ["meta-data", "iam", "security-credentials", name]:
            return _credentials(request, name)
        case ["dynamic", "instance-identity", "document" | "pkcs7" | "signature" as kind]:
            return _identity(service, kind)
    role = service.roles.instance.role.name if service.roles and _facts(service) else None
    text = look_up(root_folder(service.instance, role), path)
    if text is None:
        raise web.HTTPNotFound
    return web.Response(text=text)


def _facts(service: MetadataService) -> RoleFacts | None:
    """What is known of the instance's role, if it has one that exists."""
    return service.roles.instance.role.find() if service.roles is not None else None


def _profile(service: MetadataService) -> web.Response:
    facts = _facts(service)
    if service.roles is None or facts is None:
        raise web.HTTPNotFound
    name, instance = service.roles.instance.role.name, service.instance
    text = info_document(facts.arn, instance.account, name, instance.started)
    return web.Response(text=text)


def _credentials(request: web.Request, name: str) -> web.Response:
    service = request.app[METADATA]
    facts = _facts(service)
    if service.roles is None or facts is None or service.roles.instance.role.name != name:
        raise web.HTTPNotFound
    check_peer(request)
    credentials = service.roles.instance
    try:
        return web.Response(text=instance_document(credentials.current(facts)))
    except AcceleratorError as error:
        return web.Response(text=failure_document(error.message, credentials.now()))


def _identity(service: MetadataService, kind: str) -> web.Response:
    document = identity_document(service.instance)
    if kind == "document":
        return web.Response(text=document)
    signatures = service.signer.sign(document)
    return web.Response(text=signatures.pkcs7 if kind == "pkcs7" else signatures.plain)
