"""Operations of one op, from its shapes."""

from __future__ import annotations

from typing import Any

import pytest

from accel_daemon.engines.operation_counts import Op, Shape, flops, is_counted


def count(kind: str, inputs: list[Shape], output: Shape, **attributes: Any) -> int:
    """The operations of an op with one output."""
    return flops(Op(kind, inputs, [output], lambda name: attributes.get(name, False)))


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "attributes", "expected"),
    [
        ("MatMul", [(2, 3), (3, 5)], (2, 5), {}, 60),
        ("MatMul", [(3, 2), (3, 5)], (2, 5), {"transpose_a": True}, 60),
        ("BatchMatMulV2", [(7, 2, 3), (3, 5)], (7, 2, 5), {}, 420),
        ("BatchMatMulV2", [(7, 3, 2), (7, 3, 5)], (7, 2, 5), {"adj_x": True}, 420),
        ("Conv2D", [(1, 8, 8, 3), (3, 3, 3, 4)], (1, 8, 8, 4), {}, 2 * 256 * 27),
        ("Conv2D", [(1, 8, 8, 4), (3, 3, 2, 4)], (1, 8, 8, 4), {}, 2 * 256 * 18),
        ("DepthwiseConv2dNative", [(1, 8, 8, 3), (3, 3, 3, 2)], (1, 8, 8, 6), {}, 2 * 384 * 9),
        ("Conv3D", [(1, 4, 4, 4, 2), (2, 2, 2, 2, 5)], (1, 4, 4, 4, 5), {}, 2 * 320 * 16),
        (
            "Conv2DBackpropInput",
            [(4,), (3, 3, 6, 2), (1, 4, 4, 2)],
            (1, 8, 8, 6),
            {},
            2 * 32 * 54,
        ),
        ("Einsum", [(2, 3), (3, 5)], (2, 5), {"equation": b"ij,jk->ik"}, 60),
        ("Einsum", [(7, 2, 3), (7, 3, 5)], (7, 2, 5), {"equation": "...ij,...jk->...ik"}, 420),
        ("Einsum", [(7, 3), (4, 7, 3)], (4,), {"equation": "...i,...i->..."}, 2 * 4 * 7 * 3),
        ("Einsum", [(2, 3)], (3,), {"equation": "ij->j"}, 6),
        ("MaxPool", [(1, 8, 8, 3)], (1, 4, 4, 3), {"ksize": [1, 2, 2, 1]}, 48 * 4),
        ("Relu", [(2, 3)], (2, 3), {}, 6),
        ("Softmax", [(2, 3)], (2, 3), {}, 30),
        ("Mean", [(2, 3), (1,)], (2,), {}, 6),
        ("BlockLSTM", [(), (9, 2, 3), (2, 4), (2, 4), (7, 16)], (9, 2, 4), {}, 2 * 18 * 112),
        ("Reshape", [(2, 3), (1,)], (6,), {}, 0),
        ("MatMul", [(), ()], (), {}, 0),
        ("Conv2DBackpropInput", [(4,)], (1,), {}, 0),
    ],
)
def test_counts(
    kind: str, inputs: list[Shape], output: Shape, attributes: dict[str, Any], expected: int
) -> None:
    """A multiplication and an addition are two; moving values is none."""
    assert count(kind, inputs, output, **attributes) == expected


def test_what_is_not_counted_says_so() -> None:
    """So that its unknown shapes do not matter."""
    assert is_counted("Einsum")
    assert not is_counted("NonMaxSuppressionV3")
