"""The rule itself, on single nodes: no TensorFlow is needed to decide."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.python.framework import op_def_registry

from accel_daemon.engines.tensorflow_admission import Finding, Policy, refused
from accel_daemon.engines.tensorflow_ops import ADMITTED
from tests.accel_daemon.engines.graph_builder import Func, Nodes, Open

FORBIDDEN_WORDS = (
    "File", "Dataset", "Iterator", "Summary", "Save", "Restore", "Checkpoint", "Debug", "PyFunc",
    "Queue", "Barrier", "Stage", "Mutex", "Rpc", "Remote", "Collective", "Nccl", "TPU", "Xla",
    "Send", "Recv", "Print", "Session", "BatchFunction", "Temporary", "Reader", "Mlir", "TRT",
    "Immutable", "Abort", "Sleep", "Timestamp", "Vocab", "Skipgram",
)  # fmt: skip


def node(op: str, **attributes: Any) -> Any:
    """One node."""
    n = Nodes()
    n.add(op, name="n", **attributes)
    return n.nodes[0]


@pytest.mark.parametrize("word", FORBIDDEN_WORDS)
def test_no_admitted_op_has_such_a_name(word: str) -> None:
    """A slip of the pen in the table would be seen here."""
    assert not [op for op in ADMITTED if word in op]


def test_nothing_internal_is_admitted() -> None:
    """Names with a leading underscore are TensorFlow's own."""
    assert not [op for op in ADMITTED if op.startswith("_") or ">" in op]


# Ops that this TensorFlow may be too old for.
_NEWER = {"DecodeWebP", "DecodeJxl"}


def test_every_admitted_op_exists() -> None:
    """In this TensorFlow; the table has no misspelt names."""
    assert {op for op in ADMITTED if op_def_registry.get(op) is None} <= _NEWER


def test_deciding_needs_no_tensorflow() -> None:
    """The policy can be read, tested and trusted by itself."""
    code = (
        "import sys; import accel_daemon.engines.tensorflow_admission, "
        "accel_daemon.engines.tensorflow_trace; sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("admitted", "one"),
    [
        (True, node("MatMul")),
        (False, node("matmul")),
        (False, node("MatMul ")),
        (False, node("")),
        (False, node("ReadFile")),
        (True, node("Empty", dtype=tf.float32, init=True)),
        (False, node("Empty", dtype=tf.float32, init=False)),
        (False, node("Empty", dtype=tf.float32)),
        (False, node("FakeParam", dtype=tf.float32, shape=tf.TensorShape([3]))),
        (True, node("FakeParam", dtype=tf.float32, shape=tf.TensorShape([3, 0]))),
        (True, node("FakeParam", dtype=tf.variant, shape=tf.TensorShape([]))),
        (False, node("FakeParam", dtype=tf.float32, shape=tf.TensorShape([]))),
        (True, node("DecodeProtoV2", descriptor_source="local://")),
        (True, node("DecodeProtoV2")),
        (False, node("DecodeProtoV2", descriptor_source="/etc/passwd")),
        (False, node("DecodeProtoV2", descriptor_source="bytes://x")),
        (False, node("EncodeProto", descriptor_source="local:///x")),
        (True, node("ParseTensor", out_type=tf.float32)),
        (False, node("ParseTensor", out_type=tf.variant)),
        (True, node("If", then_branch=Func("known"))),
        (False, node("If", then_branch=Func("unknown"))),
        (False, node("Case", branches=[Func("known"), Func("unknown")])),
        (False, node("If", then_branch=Func("known", {"deep": Func("unknown")}))),
        (False, node("MatMul", transpose_a=Open("later"))),
        (True, node("known")),
        (False, node("known", f=Open("later"))),
        (False, node("unknown")),
    ],
    ids=str,
)
def test_a_node_is_admitted_or_not(admitted: bool, one: Any) -> None:
    """By its op, its attributes, and the functions it names."""
    assert (Policy().refusal(one, {"known": object()}) is None) == admitted


def test_an_op_that_the_operator_allows_is_admitted() -> None:
    """That one, in every form, and no other."""
    policy = Policy(allowed={"ReadFile": "reason", "Empty": "reason"})
    assert policy.refusal(node("ReadFile"), {}) is None
    assert policy.refusal(node("Empty", init=False), {}) is None
    assert policy.refusal(node("WriteFile"), {}) is not None
    assert policy.refusal(node("ReadFile", f=Func("unknown")), {}) is not None


@given(st.text(max_size=30))
def test_any_name_is_decided(name: str) -> None:
    """What is not in the table is refused."""
    assert (Policy().refusal(node("NoOp"), {}) is None) is True
    one = node("NoOp")
    one.op = name.encode("utf-8", "ignore").decode()
    refusal = Policy().refusal(one, {})
    assert (refusal is None) == (one.op in ADMITTED and one.op not in ("Empty", "FakeParam"))


def test_a_refusal_says_what_where_and_what_to_do() -> None:
    """Ten nodes are named, the others counted."""
    findings = [Finding("ReadFile", f"n{i}", "f" * (i % 2), "not admitted") for i in range(12)]
    error = refused([*findings, Finding("Evil\x1b\n", "n" * 500, "", "not admitted")])
    assert error.reason == "OP_REFUSED"
    assert "ReadFile (node n0): not admitted" in error.message
    assert "in function f" in error.message
    assert "and 3 more" in error.message
    assert error.message.isprintable()
    assert len(error.message) < 1500
    assert error.fields == {"ops": "Evil??,ReadFile"}
    assert "--allow-op ReadFile=REASON" in error.remedy
