"""The values of `--allow-op`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.launch_order import LaunchOrder
from accel_daemon.supervisor.allowed_ops import parse_allowed_ops
from accel_protocol.errors import ConfigurationError


def test_each_op_has_its_reason() -> None:
    """A reason may hold anything printable."""
    allowed = parse_allowed_ops(["ReadFile=the lab's own models", "Addons>Op = a=b, ünd"])
    assert allowed == {"ReadFile": "the lab's own models", "Addons>Op": "a=b, ünd"}


@pytest.mark.parametrize(
    "text",
    [
        "", "=", "ReadFile", "ReadFile=", "ReadFile= ", "=reason", "*=all", "Read*=all",
        "Read?ile=x", ".*=x", "ReadFile,WriteFile=x", "Read File=x", "1Op=x", "ReadFile=a\nb",
        "ReadFile=a\x1b[31m", "x" * 101 + "=x", "ReadFile=" + "x" * 201,
    ],
)  # fmt: skip
def test_what_is_no_op_with_a_reason_is_refused(text: str) -> None:
    """No wildcard, no list, no op without a reason."""
    with pytest.raises(ConfigurationError, match=r"\.") as caught:
        parse_allowed_ops([text])
    assert "--allow-op OP=REASON" in caught.value.remedy


def test_an_op_is_allowed_once() -> None:
    """Two reasons for one op contradict each other."""
    with pytest.raises(ConfigurationError, match="twice"):
        parse_allowed_ops(["ReadFile=a", "ReadFile=b"])


@given(st.text(max_size=50))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but a ConfigurationError."""
    try:
        allowed = parse_allowed_ops([text])
    except ConfigurationError:
        return
    assert len(allowed) == 1


def test_allowed_ops_travel_in_the_launch_order() -> None:
    """With their reasons; an older supervisor's order has none."""
    order = LaunchOrder(
        accelerator_id="eia-1", accelerator_type="host", host="", port=0, certificate_pem="",
        private_key_pem="", ticket_public_key_pem="", tenancy=1, store="",
        allowed_ops={"ReadFile": "größer"},
    )  # fmt: skip
    assert LaunchOrder.from_line(order.to_line()).allowed_ops == {"ReadFile": "größer"}
