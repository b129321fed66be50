"""Which of the accelerators that an endpoint lists are visible, and under which ordinals."""

from __future__ import annotations

from typing import Any

import pytest

from accel_protocol.errors import ConfigurationError
from client_runtime.discovery.endpoints import Endpoint
from client_runtime.discovery.listing import choose_visible, read_answer

A, B, C = (f"eia-{letter * 32}" for letter in "abc")


def endpoint(*attached: str) -> Endpoint:
    """An endpoint, of whose accelerators these are attached."""
    return Endpoint("https://h:1", None, "us-east-1", "the test", accelerators=attached)


def row(accelerator_id: str) -> dict[str, Any]:
    """As AWS has it."""
    return {
        "acceleratorHealth": {"status": "Ok"},
        "acceleratorType": "eia2.large",
        "acceleratorId": accelerator_id,
        "availabilityZone": "us-east-1a",
        "attachedResource": "arn:aws:ec2:us-east-1:000000000000:instance/i-1",
    }


def visible(variable: str | None, *attached: str) -> list[tuple[int, str]]:
    """Ordinals and ids of what is visible of three."""
    answer = {"acceleratorSet": [row(A), row(B), row(C)]}
    chosen = choose_visible(read_answer(answer, endpoint()), endpoint(*attached), variable)
    return [(one.ordinal, one.id) for one in chosen]


def test_aws_answer() -> None:
    """Without the details that AWS has no member for."""
    (one,) = read_answer({"acceleratorSet": [row(A)]}, endpoint())
    assert (one.id, one.type, one.ordinal, one.status) == (A, "eia2.large", 0, "Ok")
    assert (one.control, one.source) == ("https://h:1", "the test")
    assert (one.endpoint, one.used_memory_bytes) == (None, None)


def test_details() -> None:
    """By id, whatever their order."""
    details = [
        {
            **{"acceleratorId": B, "ordinal": 0, "endpoint": "h:3", "usedMemoryBytes": 5},
            "sandbox": "off",
        },
        {"acceleratorId": A, "ordinal": 1, "endpoint": "h:2", "usedMemoryBytes": None},
    ]
    answer = {"acceleratorSet": [row(A), row(B)], "acceleratorDetails": details}
    first, second = read_answer(answer, endpoint())
    assert (first.ordinal, first.endpoint, first.used_memory_bytes) == (1, "h:2", None)
    assert (second.ordinal, second.endpoint, second.used_memory_bytes) == (0, "h:3", 5)
    assert (first.sandbox, second.sandbox) == (None, "off")


def test_what_is_published_of_a_type() -> None:
    """Is told with it; of our own type there is nothing."""
    details = [{"acceleratorId": A, "ordinal": 0, "paced": True}]
    answer = {
        "acceleratorSet": [row(A), {**row(B), "acceleratorType": "host"}],
        "acceleratorDetails": details,
    }
    emulated, ours = read_answer(answer, endpoint())
    assert (emulated.memory_bytes, emulated.tera_flops_16, emulated.tera_flops_32) == (
        4 << 30,
        16,
        2,
    )
    assert (ours.memory_bytes, ours.tera_flops_16, ours.tera_flops_32) == (None, None, None)
    assert (emulated.paced, ours.paced) == (True, False)


@pytest.mark.parametrize(
    ("variable", "attached", "expected"),
    [
        (None, (), [(0, A), (1, B), (2, C)]),
        ("2,0", (), [(0, C), (1, A)]),
        (B, (), [(0, B)]),
        (None, (C, B), [(0, C), (1, B)]),
        ("1", (C, B), [(0, B)]),
        (None, (C, "eia-" + "0" * 32), [(0, C)]),
    ],
)
def test_visible(
    variable: str | None, attached: tuple[str, ...], expected: list[tuple[int, str]]
) -> None:
    """What metadata attached is numbered first, then EI_VISIBLE_DEVICES selects and renumbers."""
    assert visible(variable, *attached) == expected


@pytest.mark.parametrize(
    ("variable", "attached"), [("", ()), ("3", ()), ("2", (C, B)), (A, (C, B))]
)
def test_hidden(variable: str, attached: tuple[str, ...]) -> None:
    """What is not there, or not attached, cannot be made visible."""
    with pytest.raises(ConfigurationError, match="EI_VISIBLE_DEVICES"):
        visible(variable, *attached)


@pytest.mark.parametrize(
    "details",
    [
        {"ordinal": "0"},
        {"ordinal": True},
        {"endpoint": ["h:2"]},
        {"endpoint": "h\n:2"},
        {"usedMemoryBytes": 1e400},
        {"usedMemoryBytes": -1},
    ],
)
def test_members_of_other_types(details: dict[str, Any]) -> None:
    """Are not taken for what they should be."""
    answer = {
        "acceleratorSet": [row(A)],
        "acceleratorDetails": [{"acceleratorId": A, **details}],
    }
    with pytest.raises(TypeError):
        read_answer(answer, endpoint())
