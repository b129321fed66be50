"""Heads that are built from kept parts say what the generated classes would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accel_protocol.errors import AcceleratorError
from accel_protocol.heads import read_result, result_head, start_head
from accel_protocol.limits import DEFAULT_LIMITS
from accel_protocol.payload import check_headers, headers_from_wire
from accel_protocol.tensors import TensorHeader
from accel_protocol.v1 import accelerator_pb2 as pb

HEADERS = st.lists(
    st.builds(
        TensorHeader,
        st.text(max_size=8),
        st.sampled_from([1, 7, 9]),
        st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
        st.integers(0, 2**40),
    ),
    max_size=3,
)
COUNTS = st.integers(0, 2**63)


def messages(headers: list[TensorHeader]) -> list[pb.TensorHeader]:
    """The headers as messages."""
    return [
        pb.TensorHeader(name=h.name, dtype=h.dtype, shape=h.shape, size=h.size)  # type: ignore[arg-type]
        for h in headers
    ]


@given(st.binary(max_size=32), HEADERS, COUNTS)
def test_start(graph_id: bytes, headers: list[TensorHeader], timeout_us: int) -> None:
    """RunStart."""
    expected = pb.RunStart(graph_id=graph_id, feeds=messages(headers), timeout_us=timeout_us)

    assert pb.RunStart.FromString(start_head(graph_id, headers, timeout_us)) == expected


@given(HEADERS, COUNTS, COUNTS, st.booleans())
def test_result(headers: list[TensorHeader], queue: int, compute: int, repeatable: bool) -> None:
    """RunResult."""
    timing = pb.Timing(queue_us=queue, compute_us=compute)
    expected = pb.RunResult(fetches=messages(headers), timing=timing, repeatable=repeatable)

    assert pb.RunResult.FromString(result_head(headers, timing, repeatable)) == expected


@given(st.lists(HEADERS, min_size=1, max_size=2), COUNTS, st.booleans(), st.booleans())
def test_result_read(
    told: list[list[TensorHeader]], queue: int, repeatable: bool, is_turned: bool
) -> None:
    """As the generated class reads it, whatever the order of its fields, also the second time."""
    parts = [pb.RunResult(fetches=messages(one)).SerializeToString() for one in told]
    rest = pb.RunResult(timing=pb.Timing(queue_us=queue), repeatable=repeatable)
    parts.append(rest.SerializeToString())
    head = b"".join(reversed(parts) if is_turned else parts)
    expected = pb.RunResult.FromString(head)
    headers = headers_from_wire(expected.fetches)
    try:
        total = check_headers(headers, DEFAULT_LIMITS)
    except AcceleratorError as error:
        for _ in range(2):
            with pytest.raises(type(error)):
                read_result(head)
        return

    for _ in range(2):
        read = read_result(head)
        assert (read.fetches, read.total) == (headers, total)
        assert (read.rest.timing, read.rest.repeatable) == (expected.timing, expected.repeatable)
