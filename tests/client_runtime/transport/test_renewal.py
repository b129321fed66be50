"""When a client asks for another ticket by itself."""

from __future__ import annotations

from typing import Any, cast

import grpc
import pytest

from client_runtime.discovery.endpoints import Endpoint
from client_runtime.transport import attachment, grants
from client_runtime.transport import channel as channels
from client_runtime.transport.attachment import Attachment
from tests.client_runtime.transport.test_grants import ENDPOINT, GRANTED

_KEYS = cast(Any, type("Keys", (), {"current": lambda _: grants.AccessKey("A", "s")})())


@pytest.mark.parametrize(("slept", "asked"), [(0.0, 1), (539.0, 1), (541.0, 2), (1e6, 2)])
def test_a_ticket_is_renewed_after_a_sleep(
    monkeypatch: pytest.MonkeyPatch, slept: float, asked: int
) -> None:
    """Time counts that passed while the machine slept, and what else its clocks say does not."""
    elapsed, answers = [50.0], []

    def answer(*_: Any) -> tuple[int, Any]:
        answers.append(GRANTED)
        return 200, GRANTED

    def channel(endpoint: Endpoint, grant: grants.Grant) -> grpc.Channel:
        return grpc.insecure_channel(grant.address)

    monkeypatch.setattr(grants, "_exchange", answer)
    monkeypatch.setattr(channels, "open_channel", channel)
    for module in (grants, attachment):
        monkeypatch.setattr(module, "elapsed_seconds", lambda: elapsed[0])
    with Attachment(ENDPOINT, _KEYS) as one:
        assert one.accelerator_id == GRANTED["accelerator"]["id"]
        elapsed[0] += slept
        assert one.accelerator_id == GRANTED["accelerator"]["id"]
    assert len(answers) == asked
