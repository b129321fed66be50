"""A signed request that is sent again, over HTTPS."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import urllib3

from accel_protocol.sigv4 import HttpRequest, sign

KIND = "arn:aws:elastic-inference:us-east-1:000000000000:elastic-inference-accelerator"


def signed_sender(daemon: Any, method: str, path: str, body: bytes) -> Any:
    """A function that sends the very same signed request each time."""
    url = daemon.ready["control"]
    request = HttpRequest(method, path, "", (("Host", urlsplit(url).netloc),), body)
    added = sign(
        request,
        daemon.keys["ann"],
        region="us-east-1",
        service="elastic-inference",
        now=datetime.now(UTC),
    )
    headers = {**dict(request.headers), **added}

    def send() -> tuple[int, str]:
        with urllib3.PoolManager(ssl_context=daemon.tls(), retries=False, timeout=10) as pool:
            answer = pool.request(method, url + path, body=body, headers=headers)
            return answer.status, str(answer.json().get("reason", ""))

    return send


@pytest.mark.parametrize("path", ["/describe-accelerators", "/describe-accelerator-offerings"])
def test_questions_may_be_repeated(daemon: Any, path: str) -> None:
    """Clients ask the same twice within a second, and both have the same signature."""
    send = signed_sender(daemon, "POST", path, b'{"locationType": "region"}')
    assert send() == send() == (200, "")


def test_connect_is_good_once(daemon: Any) -> None:
    """A ticket is given once for one signature."""
    second = daemon.ready["accelerators"][1]["id"]
    send = signed_sender(daemon, "POST", "/connect", f'{{"accelerator": "{second}"}}'.encode())
    first = send()
    assert first[1] != "SIGNATURE_REPLAYED"
    assert send() == (403, "SIGNATURE_REPLAYED")


def test_tags_may_be_repeated_shortly(daemon: Any) -> None:
    """An SDK's own repetition is no replay, and later it is."""
    arn = f"{KIND}/{daemon.ready['accelerators'][0]['id']}"
    path = f"/tags/{quote(arn, safe='')}"
    send = signed_sender(daemon, "POST", path, b'{"tags": {"replay": "1"}}')
    assert send() == send() == (200, "")
    time.sleep(2.1)
    assert send() == (403, "SIGNATURE_REPLAYED")
    daemon.call("DELETE", f"{path}?tagKeys=replay", key=daemon.keys["ann"])
