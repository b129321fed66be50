"""The control endpoint: what it reads from bodies, paths and queries, and the whole application."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.test_utils import make_mocked_request

from accel_daemon.clock import Clock
from accel_daemon.control import accelerator_types, pages, tags
from accel_daemon.control.authority_certificate import AUTHORITY_PEM
from accel_daemon.control.connect import check_versions, read_among, read_selector
from accel_daemon.control.gate import MAX_BODY_BYTES, SIGNATURES
from accel_daemon.control.security_token_answers import failure
from accel_daemon.control.security_tokens import read_parameters, read_session_policy
from accel_daemon.control.server import MAX_HEADER_LINE_BYTES, build_app
from accel_daemon.control.service import SERVICE, Call, ControlService
from accel_daemon.control.tag_store import TagStore
from accel_daemon.control.tags import TAGS
from accel_daemon.faults.board import FaultBoard
from accel_daemon.home import Home, make_private_folder
from accel_daemon.iam.callers import Principal
from accel_daemon.iam.identification import Caller
from accel_daemon.iam.replays import SignatureMemory
from accel_daemon.iam.tickets import TicketSigner
from accel_daemon.pki.authority import create_authority
from accel_daemon.supervisor.accelerator_spec import AcceleratorSpec
from accel_daemon.supervisor.fleet import Fleet, Listening, build_fleet
from accel_daemon.supervisor.launcher import LocalLauncher
from accel_daemon.supervisor.placement import Trust
from accel_protocol import sigv4
from accel_protocol.errors import CallError
from accel_protocol.sigv4 import AccessKey, HttpRequest
from tests.fuzz.mutation import change_text, json_bytes, json_text, one_of
from tests.fuzz.oracle import CANARY, Found, Setting, Target, check_texts
from tests.fuzz.targets.access import (
    ACCOUNT,
    ALLOW_ALL,
    ARN,
    KEY_ID,
    NOW,
    POLICIES,
    change_request,
    identities,
)
from tests.fuzz.targets.pipes import FAULTS

FILTERS = [
    {"name": "accelerator-type", "values": ["host", "eia2.large"]},
    {"name": "instance-id", "values": ["i-0"]},
]
BODIES: list[Any] = [
    {"accelerator": "eia-" + "0" * 32, "minVersion": 1, "maxVersion": 1},
    {"accelerator": 0, "accelerators": [0, 1, "eia-" + "0" * 32]},
    {"acceleratorIds": ["eia-" + "0" * 32], "filters": FILTERS, "maxResults": 10},
    {"nextToken": base64.b64encode(b'{"after": "a", "question": "b"}').decode()},
    {"locationType": "region", "acceleratorTypes": ["host", "eia1.medium"]},
    {"tags": {"owner": "ann", "Stage": "prod"}},
]
FORMS = [
    {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/worker",
        "RoleSessionName": "night-run",
        "DurationSeconds": "900",
        "Policy": json.dumps(ALLOW_ALL),
    },
    {"Action": "GetSessionToken", "Version": "2011-06-15", "DurationSeconds": "900"},
    {"Action": "GetCallerIdentity", "Version": "2011-06-15"},
]


def body_target(setting: Setting) -> Target:
    """The JSON bodies of all routes, and what reads their members."""
    readers: tuple[Callable[[Any], object], ...] = (
        check_versions,
        read_selector,
        read_among,
        pages.read_question,
        accelerator_types.read_location_type,
        accelerator_types.read_type_names,
        tags.read_tags,
    )
    service: Any = None
    caller = Caller(Principal("ann", ACCOUNT), KEY_ID, "ann")

    def check(data: bytes) -> None:
        body = Call(service, caller, "a:B", data, "id").json_body()
        for read in readers:
            try:
                read(body)
            except CallError as error:
                check_texts([str(error)], data)

    return Target(lambda chance: json_bytes(chance, one_of(chance, BODIES)), check)


def page_target(setting: Setting) -> Target:
    """`nextToken`: what was answered before and then changed."""
    ids = [f"eia-{number:032x}" for number in range(20)]
    question = pages.Question((), (), 3, None)

    def make(chance: random.Random) -> str:
        token = pages.write_token(question, one_of(chance, ids))
        if chance.random() < 0.5:
            return change_text(chance, token)
        document = json.loads(base64.b64decode(token))
        return base64.b64encode(json_bytes(chance, document)).decode()

    def check(token: str) -> None:
        read = pages.read_question({"nextToken": token, "maxResults": 3})
        page, following = pages.cut_page(read, ids)
        assert len(page) <= 3
        assert following is None or isinstance(following, str)

    return Target(make, check)


def tag_target(setting: Setting) -> Target:
    """ARNs in paths, keys in queries, and the file of the tags."""
    arn = ARN
    query = "tagKeys=owner&tagKeys=St%C3%A4ge&tagKeys=a%20b"
    path = setting.folder / "tags.json"
    stored = {"version": 1, "tags": {"eia-1": {"a": "b"}}}

    def make(chance: random.Random) -> tuple[int, Any]:
        kind = 2 if chance.random() < 0.02 else chance.randrange(2)
        if kind == 0:
            return kind, change_text(chance, quote(arn, safe=""))
        if kind == 1:
            return kind, change_text(chance, query)
        return kind, json_bytes(chance, stored)

    def check(value: tuple[int, Any]) -> None:
        kind, what = value
        if kind == 0:
            tags.read_arn(what)
        elif kind == 1:
            tags.read_tag_keys(what)
        else:
            path.write_bytes(what)
            store = TagStore(path)
            for one in list(json.loads(what)["tags"]):
                store.get(one)

    return Target(make, check)


def change_form(chance: random.Random, form: dict[str, str]) -> str:
    """A form with names, values and what is written changed."""
    changed = dict(form)
    for _ in range(chance.choice((1, 1, 2))):
        if not changed:
            break
        name = one_of(chance, list(changed))
        match chance.randrange(5):
            case 0:
                del changed[name]
            case 1:
                changed[change_text(chance, name)] = changed.pop(name)
            case 2 if name == "Policy":
                changed[name] = json_text(chance, one_of(chance, POLICIES))
            case _:
                changed[name] = change_text(chance, changed[name])
    text = urlencode(changed, errors="surrogatepass")
    return change_text(chance, text) if chance.random() < 0.2 else text


def form_target(setting: Setting) -> Target:
    """Forms of the Security Token Service; refusals are XML that can be read."""

    def check(text: str) -> None:
        try:
            parameters = read_parameters(text.encode("utf-8", "surrogatepass"))
            if "Policy" in parameters:
                read_session_policy(parameters["Policy"])
        except CallError as error:
            check_xml(failure(error, "id"))
            raise

    return Target(lambda chance: change_form(chance, one_of(chance, FORMS)), check)


def check_xml(answer: web.Response) -> None:
    """Check that an answer is XML, as every SDK's parser reads it."""
    ElementTree.fromstring(answer.text or "")


class _Defects(logging.Handler):
    """Keeps what the application logs about its own defects."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record with its traceback."""
        self.found.append(logging.Formatter().format(record))


def build_control(setting: Setting, loop: asyncio.AbstractEventLoop) -> web.Application:
    """The whole application with two accelerators that never start."""
    home = Home(setting.folder / "home")
    make_private_folder(home.root)
    make_private_folder(home.daemon)
    known, faults = identities(setting.secret), FaultBoard(lambda: 1e9)
    trust = Trust(create_authority(datetime.now(UTC), CANARY), CANARY)

    async def fleet() -> Fleet:
        specs = [AcceleratorSpec("host"), AcceleratorSpec("eia2.large")]
        listening = Listening("127.0.0.1", "127.0.0.1", 0)
        return build_fleet(home, specs, listening, trust, LocalLauncher(), faults)

    service = ControlService(
        fleet=loop.run_until_complete(fleet()),
        identities=lambda: known,
        tickets=TicketSigner.generate(),
        region="us-east-1",
        is_ready=lambda: True,
        clock=Clock.start(read_wall=NOW.timestamp),
        faults=faults,
    )
    app = build_app(service)
    app[AUTHORITY_PEM] = trust.authority.certificate_pem
    app[TAGS] = TagStore(home.daemon / "tags.json")
    return app


def requests(setting: Setting, fleet: Fleet) -> list[HttpRequest]:
    """Unsigned requests for all routes."""
    first = fleet.accelerators[0].id
    arn = f"arn:aws:elastic-inference:us-east-1:{ACCOUNT}:elastic-inference-accelerator/{first}"
    tagged = "/tags/" + quote(arn, safe="")
    asked: list[tuple[str, str, str, bytes]] = [
        ("GET", "/ca.pem", "", b""),
        ("GET", "/healthz", "", b""),
        ("GET", "/status", "", b""),
        ("GET", "/describe-accelerator-types", "", b""),
        ("GET", tagged, "", b""),
        ("DELETE", tagged, "tagKeys=owner&tagKeys=a%20b", b""),
        ("GET", "/faults", "", b""),
        ("DELETE", "/faults", "", b""),
        ("DELETE", "/faults/1", "", b""),
    ]
    routes = ("/connect", "/describe-accelerators", "/describe-accelerator-offerings", tagged)
    for route in routes:
        asked += [("POST", route, "", json.dumps(body).encode()) for body in BODIES]
    asked += [("POST", "/", "", urlencode(form).encode()) for form in FORMS]
    asked += [("POST", "/faults", "", json.dumps(fault).encode()) for fault in FAULTS[:4]]
    host = (("Host", "127.0.0.1:9443"),)
    return [HttpRequest(method, path, query, host, body) for method, path, query, body in asked]


def change_call(chance: random.Random, request: HttpRequest, key: AccessKey) -> HttpRequest:
    """A request with its body or query changed and then signed, or changed after it was signed."""
    if chance.random() < 0.8:
        body = request.body
        if request.path == "/" and chance.random() < 0.8:
            body = change_form(chance, one_of(chance, FORMS)).encode("utf-8", "surrogatepass")
        elif body:
            body = json_bytes(chance, json.loads(body) if request.path != "/" else {})
        query = change_text(chance, request.query) if chance.random() < 0.3 else request.query
        request = replace(request, body=body, query=_printable(query))
    service = "sts" if request.path == "/" else "elastic-inference"
    nonce = ("X-Accel-Nonce", f"{chance.getrandbits(64):x}")
    request = replace(request, headers=(*request.headers, nonce))
    added = sigv4.sign(request, key, region="us-east-1", service=service, now=NOW)
    request = replace(request, headers=(*request.headers, *added.items()))
    return change_request(chance, request) if chance.random() < 0.3 else request


def _printable(text: str) -> str:
    return "".join(one for one in text if "!" <= one <= "~" and one not in "#?")


def as_received(request: HttpRequest) -> web.Request | None:
    """The request as aiohttp reads it from its bytes; None where its reader refuses them."""
    target = request.path + ("?" + request.query if request.query else "")
    length = ("Content-Length", str(len(request.body)))
    headers = (*request.headers, length) if request.body else request.headers
    lines = [
        f"{request.method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers),
    ]
    raw = "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + request.body
    loop = asyncio.get_running_loop()
    stand_in = make_mocked_request("GET", "/")
    parser = HttpRequestParser(
        stand_in.protocol,
        loop,
        2**16,
        max_line_size=MAX_HEADER_LINE_BYTES,
        max_field_size=MAX_HEADER_LINE_BYTES,
        auto_decompress=False,
    )
    try:
        messages, _, _ = parser.feed_data(raw)
    except HttpProcessingError:
        return None
    if not messages:
        return None
    message, payload = messages[0]
    if not payload.is_eof():
        payload.feed_eof()
    return web.Request(
        message,
        payload,
        stand_in.protocol,
        stand_in._payload_writer,
        stand_in.task,
        loop,
        client_max_size=MAX_BODY_BYTES,
    )


def application_target(setting: Setting) -> Target:
    """The application with its gate and all routes: signed requests, most of them wrong."""
    loop = asyncio.new_event_loop()
    setting.stack.callback(loop.close)
    app = build_control(setting, loop)
    app.freeze()
    service = app[SERVICE]
    seeds = requests(setting, service.fleet)
    key, defects = AccessKey(KEY_ID, setting.secret), _Defects()
    for name in ("accel", "aiohttp"):
        logging.getLogger(name).addHandler(defects)
        setting.stack.callback(logging.getLogger(name).removeHandler, defects)

    async def answer(request: HttpRequest) -> web.StreamResponse | None:
        received = as_received(request)
        return None if received is None else await app._handle(received)

    def check(request: HttpRequest) -> None:
        defects.found.clear()
        app._state[SIGNATURES] = SignatureMemory()
        response = loop.run_until_complete(answer(request))
        if defects.found:
            raise Found(defects.found[0])
        if isinstance(response, web.Response):
            check_answer(request, response)
        if response is not None and response.status >= 400:
            raise CallError("refused")
        service.faults.clear()

    def make(chance: random.Random) -> HttpRequest:
        return change_call(chance, one_of(chance, seeds), key)

    return Target(make, check, share=0.1)


def check_answer(request: HttpRequest, response: web.Response) -> None:
    """Check that an answer can be read, and tells nothing that it must not."""
    text = response.text or ""
    forms = [text, *response.headers.values(), *response.headers]
    check_texts([one for one in forms if not text.startswith("-----BEGIN")], request)
    if response.content_type == "text/xml":
        check_xml(response)
    if response.content_type == "application/json":
        json.loads(text)
    assert response.status != 500, text
    assert all(one.isprintable() for one in response.headers.values())


TARGETS = {
    "bodies": body_target,
    "pages": page_target,
    "tags": tag_target,
    "forms": form_target,
    "control application": application_target,
}
