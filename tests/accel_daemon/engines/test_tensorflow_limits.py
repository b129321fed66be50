"""How large a graph may be: one below, at and above each limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import graph_pb2

from accel_daemon.engines.engine import Graph, open_engine
from accel_daemon.engines.message_count import count_messages
from accel_daemon.engines.tensorflow_admission import Policy, check_size
from accel_daemon.engines.tensorflow_import import admitted_part
from accel_protocol.errors import DeadlineError, LimitError, ModelError
from accel_protocol.limits import DEFAULT_LIMITS, Limits
from accel_protocol.manifest import FROZEN_GRAPH, BundleFile, Manifest, Selection
from tests.accel_daemon.engines.conftest import ENGINE
from tests.accel_daemon.engines.graph_builder import Func, Nodes, floats, function, graph

FILE = BundleFile("graph.pb", 0, "0" * 64)
FLOAT = tf.float32
CALL: dict[str, Any] = {"Tin": [FLOAT], "Tout": [FLOAT]}


def load(folder: Path, graph_def: Any) -> Graph:
    """Load a frozen graph whose fetch is "y:0"."""
    (folder / "graph.pb").write_bytes(graph_def.SerializeToString())
    return ENGINE.load(folder, Manifest(FROZEN_GRAPH, (FILE,), Selection((), fetches={"y": "y:0"})))


def adds_one(name: str) -> Any:
    """A function that adds one."""
    n = Nodes(in_function=True)
    out = n.add("AddV2", "x", n.const(floats(1)), out="z", T=FLOAT)
    return function(name, n, {"x": FLOAT}, {"out": (out, FLOAT)})


def calls(name: str, callee: str, times: int = 1) -> Any:
    """A function that calls another one some times."""
    n = Nodes(in_function=True)
    value = "x"
    for _ in range(times):
        value = n.add("StatefulPartitionedCall", value, f=Func(callee), **CALL)
    return function(name, n, {"x": FLOAT}, {"out": (value, FLOAT)})


def nested(depth: int, times: int = 1) -> Any:
    """Functions that call each other, `depth` in a row, each `times`."""
    n = Nodes()
    zero = n.const(floats(0))
    n.add("StatefulPartitionedCall", zero, name="y", f=Func(f"f{depth}"), **CALL)
    inner = [calls(f"f{i}", f"f{i - 1}", times) for i in range(2, depth + 1)]
    return graph(n, adds_one("f1"), *inner)


def chain(length: int) -> Any:
    """A graph of this many nodes, each of which needs the one before."""
    n = Nodes()
    value = n.const(floats(1), name="node_0")
    for index in range(1, length - 1):
        value = n.add("Neg", value, name=f"node_{index}", T=FLOAT)
    n.add("Neg", value, name="y", T=FLOAT)
    return graph(n)


def test_functions_nest_as_deep_as_allowed(tmp_path: Path) -> None:
    """TensorFlow itself gets along with what admission lets through."""
    assert load(tmp_path, nested(DEFAULT_LIMITS.function_depth)).run({}, None)["y"] == 1


@pytest.mark.parametrize("depth", [DEFAULT_LIMITS.function_depth + 1, 5000])
def test_deeper_nesting_is_refused(tmp_path: Path, depth: int) -> None:
    """Before TensorFlow goes into it."""
    with pytest.raises(LimitError) as caught:
        load(tmp_path, nested(depth))
    assert caught.value.fields["name"] == "function_depth"


@pytest.mark.parametrize("circle", [1, 2, 50])
def test_functions_that_call_themselves_are_refused(tmp_path: Path, circle: int) -> None:
    """Directly, or through others."""
    n = Nodes()
    n.add("StatefulPartitionedCall", n.const(floats(0)), name="y", f=Func("f0"), **CALL)
    functions = [calls(f"f{i}", f"f{(i + 1) % circle}") for i in range(circle)]
    with pytest.raises(ModelError, match="calls itself"):
        load(tmp_path, graph(n, *functions))


def test_calls_that_multiply_are_counted(tmp_path: Path) -> None:
    """A few functions can be 2⁶⁰ nodes when each call is replaced by what it calls."""
    with pytest.raises(LimitError) as caught:
        load(tmp_path, nested(60, times=2))
    assert caught.value.fields["name"] == "inlined_nodes"


@pytest.mark.parametrize("above", [-1, 0, 1])
@pytest.mark.parametrize("name", ["graph_nodes", "inlined_nodes"])
def test_nodes_are_counted(name: str, above: int) -> None:
    """Those of the graph and those of its functions."""
    graph_def = nested(3)
    count = len(graph_def.node) + sum(len(f.node_def) for f in graph_def.library.function)
    limits = Limits(**{name: count - above})
    if above > 0:
        with pytest.raises(LimitError) as caught:
            check_size(graph_def, limits)
        assert caught.value.fields == {
            "name": name, "limit": str(count - 1), "actual": str(count)
        }  # fmt: skip
    else:
        check_size(graph_def, limits)


def test_a_hundred_thousand_nodes_are_the_end() -> None:
    """At the limit a graph is admitted, and one node more is refused."""
    most = DEFAULT_LIMITS.graph_nodes
    assert len(admitted_part(Policy(), chain(most), [], ["y:0"]).node) == most
    with pytest.raises(LimitError) as caught:
        admitted_part(Policy(), chain(most + 1), [], ["y:0"])
    assert caught.value.fields["actual"] == str(most + 1)


def test_nodes_that_nothing_needs_do_not_count() -> None:
    """A file may hold more than what is loaded of it."""
    graph_def = chain(50)
    policy = Policy(Limits(graph_nodes=10))
    assert len(admitted_part(policy, graph_def, [], ["node_9:0"]).node) == 10


def test_the_part_behind_a_feed_counts_unless_it_is_refused() -> None:
    """What is fed may still be computed instead, so that it stays."""
    graph_def = chain(50)
    assert len(admitted_part(Policy(), graph_def, ["node_40:0"], ["y:0"]).node) == 50
    graph_def.node[20].op = "ReadFile"
    assert len(admitted_part(Policy(), graph_def, ["node_40:0"], ["y:0"]).node) == 10


@pytest.mark.parametrize("above", [-1, 0, 1])
def test_attributes_are_measured(above: int) -> None:
    """A node's name, inputs and attributes, but no constants."""
    graph_def = chain(2)
    graph_def.node[1].attr["_output_shapes"].s = b"x" * 1000
    node = graph_def.node[1]
    size = len(node.name) + sum(map(len, node.input))
    size += sum(len(key) + value.ByteSize() for key, value in node.attr.items())
    limits = Limits(attribute_bytes=size - above)
    if above > 0:
        with pytest.raises(LimitError, match="attribute_bytes"):
            check_size(graph_def, limits)
    else:
        check_size(graph_def, limits)


@pytest.mark.parametrize("above", [-1, 0, 1])
def test_constants_do_not_claim_more_elements_than_a_tensor_may_have(above: int) -> None:
    """Equal elements are written once, so that a few bytes can claim any size."""
    graph_def = chain(2)
    shape = graph_def.node[0].attr["value"].tensor.tensor_shape
    shape.dim[0].size = 2**31
    shape.dim.add().size = 2
    limits = Limits(tensor_elements=2**32 - above)
    if above > 0:
        with pytest.raises(LimitError, match="tensor_elements"):
            check_size(graph_def, limits)
    else:
        check_size(graph_def, limits)


@pytest.mark.parametrize("pieces", [65_537, 10**12, 2**62])
def test_outputs_that_a_node_merely_claims_are_refused(tmp_path: Path, pieces: int) -> None:
    """TensorFlow would make room for them."""
    n = Nodes()
    n.add("Split", n.const(0), n.const(floats(1, 2)), name="y", T=FLOAT, num_split=pieces)
    with pytest.raises(ModelError, match="outputs"):
        load(tmp_path, graph(n))


def test_a_large_constant_is_no_large_attribute(tmp_path: Path) -> None:
    """Weights of a frozen graph are not limited by this."""
    n = Nodes()
    n.add("Neg", n.const(np.ones(1_000_000, np.float32)), name="y", T=FLOAT)
    assert load(tmp_path, graph(n)).run({}, None)["y"].sum() == -1_000_000


def expected_count(message: Any) -> int:
    """How many messages are inside a message."""
    count = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            repeated = hasattr(value, "__len__")
            is_map = repeated and field.message_type.GetOptions().map_entry
            values = list(value.values()) if is_map else list(value) if repeated else [value]
            kind = field.message_type.fields_by_name.get("value") if is_map else None
            count += len(values)
            if is_map and kind is not None and kind.message_type is None:
                continue
            # An entry of a map is a message around its value.
            count += sum(expected_count(one) + int(bool(is_map)) for one in values)
    return count


@pytest.mark.parametrize("graph_def", [nested(5), chain(9)], ids=["functions", "chain"])
def test_messages_are_counted_as_the_parser_sees_them(graph_def: Any) -> None:
    """At every depth."""
    count = expected_count(graph_def)
    data = graph_def.SerializeToString()
    padded = data + b"\x7a\xff\x7f" + bytes(16_383)  # an unknown field, so that there is room
    assert count_messages(padded, graph_pb2.GraphDef.DESCRIPTOR, len(padded) // 2 - 1) == count


def test_counting_ends_above_what_is_allowed() -> None:
    """A large file is not looked at to its end."""
    data = b"\x0a\x00" * 1_000_000
    assert count_messages(data, graph_pb2.GraphDef.DESCRIPTOR, 10) == 11


def test_what_has_too_many_messages_is_not_weighed(tmp_path: Path) -> None:
    """Weighing comes before loading, and builds something for each node too."""
    n = Nodes()
    n.add("Neg", n.const(np.ones(100, np.float32)), name="y", T=FLOAT)
    data = graph(n).SerializeToString()
    manifest = Manifest(FROZEN_GRAPH, (FILE,), Selection((), fetches={"y": "y:0"}))
    for count, expected in ((10, 400), (1000, 0)):
        (tmp_path / "graph.pb").write_bytes(data + b"\x0a\x00" * count)
        engine = open_engine("tensorflow", Limits(graph_messages=200))
        assert engine.weigh(tmp_path, manifest).constants == expected


def test_a_group_hides_no_messages() -> None:
    """An old kind of field, which parsers skip, is skipped here too."""
    data = b"\x7b\x7c" + b"\x0a\x00" * 50
    assert len(graph_pb2.GraphDef.FromString(data).node) == 50
    assert count_messages(data, graph_pb2.GraphDef.DESCRIPTOR, 40) == 41


@given(st.binary(max_size=300))
def test_no_bytes_break_the_counting(data: bytes) -> None:
    """It ends, and it never counts less than the parser makes."""
    count = count_messages(data, graph_pb2.GraphDef.DESCRIPTOR, 0)
    try:
        parsed = graph_pb2.GraphDef.FromString(data)
    except Exception:
        return
    assert count > 0 or not (parsed.node or parsed.HasField("library"))


def always(op: str) -> Any:
    """A loop without end, in a function that asks for all optimizations."""
    config = tf.compat.v1.ConfigProto()
    options = config.graph_options.optimizer_options
    options.do_constant_folding = options.do_function_inlining = True
    options.opt_level = tf.compat.v1.OptimizerOptions.L1
    yes, body, loop = (Nodes(in_function=True) for _ in range(3))
    condition = function("c", yes, {"x": FLOAT}, {"out": (yes.const(True), tf.bool)})
    value = body.add("Neg", "x", out="y", T=FLOAT)
    step = function("b", body, {"x": FLOAT}, {"out": (value, FLOAT)})
    shapes = [tf.TensorShape([1])]
    out = loop.add(
        op, loop.const(floats(1)), T=[FLOAT], cond=Func("c"), body=Func("b"),
        output_shapes=shapes, parallel_iterations=1, _lower_using_switch_merge=True,
    )  # fmt: skip
    looping = function("f", loop, {}, {"out": (out, FLOAT)})
    n = Nodes()
    n.add(
        "StatefulPartitionedCall", name="y", f=Func("f"), Tin=[], Tout=[FLOAT],
        config_proto=config.SerializeToString(), config="", executor_type="",
        _XlaMustCompile=True, _noinline=True,
    )  # fmt: skip
    return graph(n, condition, step, looping)


@pytest.mark.parametrize("op", ["While", "StatelessWhile"])
def test_a_function_cannot_choose_how_it_is_optimized(tmp_path: Path, op: str) -> None:
    """With constant folding an endless loop would run before a time-out can stop it."""
    running = load(tmp_path, always(op))
    with pytest.raises(DeadlineError):
        running.run({}, 0.5)
    running.close()


def test_private_attributes_are_dropped() -> None:
    """They steer TensorFlow's inside; those about shapes and inlining stay."""
    part = admitted_part(Policy(), always("While"), [], ["y:0"])
    nodes = [*part.node, *(node for f in part.library.function for node in f.node_def)]
    private = {name for node in nodes for name in node.attr if name.startswith("_")}
    assert private == {"_lower_using_switch_merge", "_noinline"}
    (call,) = part.node
    config = tf.compat.v1.ConfigProto.FromString(call.attr["config_proto"].s)
    assert config.graph_options.optimizer_options.opt_level == -1
