"""What a call brings along, and how it ends; without a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_runtime.serving.doors.grpc_calls import bounds_of, cut, header_of


@dataclass
class Call:
    """A call as gRPC shows it, which has ended already or goes on."""

    has_ended: bool

    def invocation_metadata(self) -> Any:
        """No headers."""
        return ()

    def time_remaining(self) -> float | None:
        """No deadline."""
        return None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """See gRPC."""
        return not self.has_ended

    def peer(self) -> str:
        """Someone."""
        return "ipv4:192.0.2.1:9"

    def abort(self, code: Any, details: str) -> Any:
        """Not here."""
        raise NotImplementedError


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_call_that_has_ended_is_cancelled(has_ended: bool) -> None:
    """A client may leave before a thread takes its call up: gRPC then calls nobody back."""
    assert bounds_of(Call(has_ended), "Predict", 0).cancellation.cancelled is has_ended


def test_headers_of_bytes_are_none() -> None:
    """GRPC has some, whose names end in -bin."""
    assert header_of([("x-bin", b"1"), ("x", "1")])("x-bin") is None
    assert header_of(None)("x") is None


@given(st.text(max_size=2000))
def test_a_message_is_cut_between_characters(message: str) -> None:
    """At 1024 bytes, and marked as cut; a shorter one stays."""
    shown = cut(message)

    if len(message.encode("utf-8", "replace")) <= 1024:
        assert shown == message
    else:
        assert shown.endswith("...TRUNCATED")
        assert message.startswith(shown.removesuffix("...TRUNCATED"))
        assert 1020 < len(shown.encode()) - len("...TRUNCATED") <= 1024
