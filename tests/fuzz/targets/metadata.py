"""The metadata server: paths, headers, and tables of the kernel; and the whole application."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import UTC, datetime

from aiohttp import web

from accel_daemon.control.metadata.app import build_metadata_app
from accel_daemon.control.metadata.folders import look_up
from accel_daemon.control.metadata.guard import is_for_us
from accel_daemon.control.metadata.instance import root_folder
from accel_daemon.control.metadata.options import MetadataOptions
from accel_daemon.control.metadata.peers import user_of_peer
from accel_daemon.control.metadata.service import METADATA
from accel_daemon.control.metadata.tokens import TOKEN_HEADER, TTL_HEADER, read_seconds
from accel_daemon.pki.authority import create_authority
from accel_protocol.sigv4 import HttpRequest
from tests.accel_daemon.control.metadata.stand_ins import (
    ROLE,
    TOKEN,
    build_service,
    stand_in_instance,
)
from tests.fuzz.mutation import change_text, one_of
from tests.fuzz.oracle import CANARY, Setting, Target, check_texts
from tests.fuzz.targets.access import change_request
from tests.fuzz.targets.control import as_received

PATHS = [
    "/",
    "/latest",
    "/latest/meta-data/",
    "/latest/meta-data/elastic-inference/associations",
    "/latest/meta-data/placement/region",
    "/latest/meta-data/iam/info",
    f"/latest/meta-data/iam/security-credentials/{ROLE}",
    "/latest/dynamic/instance-identity/document",
    "/2021-07-15/meta-data/mac",
    "/v4/{id}/task",
    "/v4/{id}/associations/elastic-inference/device_1",
    "/v2/credentials/{credentials}",
    "/latest/api/token",
]


def path_target(setting: Setting) -> Target:
    """Paths of documents, hosts and lives of tokens."""
    root = root_folder(stand_in_instance(), ROLE)

    def make(chance: random.Random) -> tuple[str, str, str]:
        path, host = one_of(chance, PATHS), one_of(chance, ["127.0.0.1:80", "localhost", "[::1]:1"])
        return change_text(chance, path), change_text(chance, host), change_text(chance, "21600")

    def check(value: tuple[str, str, str]) -> None:
        path, host, life = value
        text = look_up(root, path)
        assert text is None or isinstance(text, str)
        if is_for_us([host], False):
            assert host.partition(":")[0].lower() in {
                "127.0.0.1",
                "localhost",
                "169.254.169.254",
                "169.254.170.2",
            }
        seconds = read_seconds(life)
        assert seconds is None or 1 <= seconds <= 21_600

    return Target(make, check, refuses=False)


def table_target(setting: Setting) -> Target:
    """The kernel's table of sockets, as it may look while it changes."""
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
        " 0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000 0\n"
        " 1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001 0\n"
    )

    def check(text: str) -> None:
        user = user_of_peer([text], ("127.0.0.1", 50_000), ("127.0.0.1", 8080))
        assert user is None or user >= 0

    return Target(lambda chance: change_text(chance, table), check, refuses=False)


def application_target(setting: Setting) -> Target:
    """The application, with its guard: what it answers can be read, whatever was asked."""
    loop = asyncio.new_event_loop()
    setting.stack.callback(loop.close)
    authority = create_authority(datetime.now(UTC), CANARY)
    served = build_service(MetadataOptions(), authority, lambda request: None)
    app = build_metadata_app(served.service)
    app.freeze()
    container = app[METADATA].container
    ids = {"{id}": container.id, "{credentials}": "x"}
    paths = [path.replace("{id}", ids["{id}"]) for path in PATHS]
    headers = [
        (TTL_HEADER, "60"),
        (TOKEN_HEADER, "x" * 43),
        ("Authorization", TOKEN),
        ("X-Forwarded-For", "10.0.0.1"),
    ]

    def make(chance: random.Random) -> HttpRequest:
        path = one_of(chance, paths)
        method = "PUT" if path.endswith("token") else "GET"
        extra = tuple(one for one in headers[:3] if chance.random() < 0.2)
        request = HttpRequest(method, path, "", (("Host", "127.0.0.1:80"), *extra), b"")
        return change_request(chance, request) if chance.random() < 0.95 else request

    async def answer(request: HttpRequest) -> web.StreamResponse | None:
        received = as_received(request)
        try:
            return None if received is None else await app._handle(received)
        except web.HTTPException as refusal:
            return refusal

    def check(request: HttpRequest) -> None:
        response = loop.run_until_complete(answer(request))
        if not isinstance(response, web.Response):
            return
        assert response.status < 500
        if not request.path.endswith(("pkcs7", "signature")):
            check_texts([response.text or "", *response.headers.values()], request)
        if response.content_type == "application/json":
            json.loads(response.text or "")

    return Target(make, check, refuses=False, share=0.2)


TARGETS = {
    "metadata paths": path_target,
    "socket tables": table_target,
    "metadata application": application_target,
}
