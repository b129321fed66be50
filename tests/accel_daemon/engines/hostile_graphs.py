"""A corpus of hostile models: each tries to get out of its graph, in one of many ways.

Every one has to be refused by admission. With admission switched off, in a test, every one has to
be harmless inside the sandbox: see `without_admission.py` for how that is done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from accel_protocol.manifest import FROZEN_GRAPH, BundleFile, Manifest, Selection
from tests.accel_daemon.engines.graph_builder import Func, Nodes, Open, floats, function, graph
from tests.accel_daemon.engines.hostile_ops import ALONE, Attack, Caught, Target

STRING, FLOAT, INT, BOOL = tf.string, tf.float32, tf.int32, tf.bool
SCALAR = tf.TensorShape([])
FILE = BundleFile("graph.pb", 0, "0" * 64)


@dataclass(frozen=True)
class Hostile:
    """One hostile model, as a frozen graph that is fetched by the name "y:0".

    Attributes:
        name: unique in the corpus.
        build: makes the GraphDef.
        bites: "read", "write" or "connect" when it does that wherever nothing holds it back.
    """

    name: str
    build: Callable[[Target], Any]
    bites: str = ""

    def write(self, folder: Path, target: Target) -> Manifest:
        """Write the bundle into a folder."""
        (folder / "graph.pb").write_bytes(self.build(target).SerializeToString())
        return Manifest(FROZEN_GRAPH, (FILE,), Selection((), fetches={"y": "y:0"}))


def _finish(n: Nodes, caught: Caught) -> None:
    """Make the fetch: the loot where there is any, else something that waits for the attack."""
    if caught.loot:
        n.add("Identity", caught.loot, name="y", T=STRING)
    else:
        n.add("Identity", n.const("done"), f"^{caught.node}", name="y", T=STRING)


def _alone(attack: Attack, t: Target) -> Any:
    n = Nodes()
    _finish(n, attack(n, t))
    return graph(n)


def _evil(name: str, attack: Attack, t: Target, inputs: dict[str, Any] | None = None) -> Any:
    """A function that attacks and gives a string."""
    n = Nodes(in_function=True)
    _finish(n, attack(n, t))
    return function(name, n, inputs or {}, {"out": ("y:output:0", STRING)})


def _harmless(name: str, inputs: dict[str, Any] | None = None) -> Any:
    n = Nodes(in_function=True)
    out = n.const("harmless")
    return function(name, n, inputs or {}, {"out": (out, STRING)})


CALL = {"Tin": [], "Tout": [STRING]}


def in_function(attack: Attack, t: Target) -> Any:
    """A called function."""
    n = Nodes()
    n.add("StatefulPartitionedCall", name="y", f=Func("evil"), **CALL)
    return graph(n, _evil("evil", attack, t))


def in_stateless_call(attack: Attack, t: Target) -> Any:
    """The other way to call."""
    n = Nodes()
    n.add("PartitionedCall", name="y", f=Func("evil"), **CALL)
    return graph(n, _evil("evil", attack, t))


def by_name(attack: Attack, t: Target) -> Any:
    """A function's name is an op."""
    n = Nodes()
    n.add("evil", name="y")
    return graph(n, _evil("evil", attack, t))


def in_inner_function(attack: Attack, t: Target) -> Any:
    """A function that a function calls."""
    inner = Nodes(in_function=True)
    inner.add("StatefulPartitionedCall", name="y", f=Func("evil"), **CALL)
    outer = function("outer", inner, {}, {"out": ("y:output:0", STRING)})
    n = Nodes()
    n.add("StatefulPartitionedCall", name="y", f=Func("outer"), **CALL)
    return graph(n, outer, _evil("evil", attack, t))


def _if(op: str, condition: bool, then: str, other: str, *functions: Any) -> Any:
    n = Nodes()
    n.add(
        op, n.const(condition), name="y", Tcond=BOOL, Tin=[], Tout=[STRING],
        then_branch=Func(then), else_branch=Func(other), output_shapes=[SCALAR],
    )  # fmt: skip
    return graph(n, *functions)


def in_then(attack: Attack, t: Target) -> Any:
    """The branch that runs."""
    return _if("If", True, "evil", "good", _evil("evil", attack, t), _harmless("good"))


def in_else(attack: Attack, t: Target) -> Any:
    """The branch that does not run, today."""
    return _if("If", True, "good", "evil", _evil("evil", attack, t), _harmless("good"))


def in_stateless_if(attack: Attack, t: Target) -> Any:
    """The same, said to be without state."""
    return _if("StatelessIf", False, "good", "evil", _evil("evil", attack, t), _harmless("good"))


def in_case(attack: Attack, t: Target) -> Any:
    """One of several branches."""
    n = Nodes()
    n.add(
        "Case", n.const(1), name="y", Tin=[], Tout=[STRING],
        branches=[Func("good"), Func("evil")], output_shapes=[SCALAR],
    )  # fmt: skip
    return graph(n, _evil("evil", attack, t), _harmless("good"))


def _while(condition: Any, body: Any, op: str = "While") -> Any:
    n = Nodes()
    n.add(
        op, n.const("x"), name="y", T=[STRING], cond=Func("condition"), body=Func("body"),
        output_shapes=[SCALAR], parallel_iterations=1,
    )  # fmt: skip
    return graph(n, condition, body)


def _loops_while_x() -> Any:
    n = Nodes(in_function=True)
    out = n.add("Equal", "state", n.const("x"), out="z", T=STRING)
    return function("condition", n, {"state": STRING}, {"out": (out, BOOL)})


def in_while_body(attack: Attack, t: Target) -> Any:
    """The body of a loop."""
    return _while(_loops_while_x(), _evil("body", attack, t, {"state": STRING}))


def in_while_condition(attack: Attack, t: Target) -> Any:
    """The condition of a loop."""
    n = Nodes(in_function=True)
    caught = attack(n, t)
    out = n.add("Identity", n.const(False), f"^{caught.node}", name="done", T=BOOL)
    condition = function("condition", n, {"state": STRING}, {"out": (out, BOOL)})
    return _while(condition, _harmless("body", {"state": STRING}), "StatelessWhile")


def in_for(attack: Attack, t: Target) -> Any:
    """A counted loop."""
    n = Nodes()
    n.add(
        "For", n.const(0), n.const(1), n.const(1), n.const("x"), name="y", T=[STRING],
        body=Func("body"),
    )  # fmt: skip
    return graph(n, _evil("body", attack, t, {"i": INT, "state": STRING}))


def behind_control_input(attack: Attack, t: Target) -> Any:
    """Nothing takes its output; something waits for it, which something else waits for."""
    n = Nodes()
    caught = attack(n, t)
    n.add("NoOp", f"^{caught.node}", name="first")
    n.add("NoOp", "^first", name="second")
    n.add("Identity", n.const("done"), "^second", name="y", T=STRING)
    return graph(n)


def in_old_branch(attack: Attack, t: Target) -> Any:
    """Control flow of TensorFlow 1: a branch that a predicate switches on."""
    n = Nodes()
    predicate = n.const(True)
    n.add("Switch", predicate, predicate, name="switch", T=BOOL)
    n.add("Identity", "switch:1", name="taken", T=BOOL)
    before = len(n.nodes)
    _finish(n, attack(n, t))
    for node in n.nodes[before:]:
        if node.op == "Const":
            node.input.append("^taken")
    return graph(n)


def under_a_good_name(attack: Attack, t: Target) -> Any:
    """A function with the name of an admitted op."""
    n = Nodes()
    n.add("StringLower", name="y")
    return graph(n, _evil("StringLower", attack, t))


def node_with_a_good_name(attack: Attack, t: Target) -> Any:
    """A node with the name of an admitted op."""
    n = Nodes()
    caught = attack(n, t)
    for node in n.nodes:
        if node.name == caught.node:
            node.name = "MatMul"
    loot = caught.loot.replace(caught.node, "MatMul")
    _finish(n, Caught("MatMul", loot))
    return graph(n)


def device_function(attack: Attack, t: Target) -> Any:
    """A function that TensorFlow may choose instead of the one that is called."""
    good, evil = _harmless("good"), _evil("evil", attack, t)
    for one, device in ((good, "GPU"), (evil, "CPU")):
        one.attr["api_implements"].s = b"same"
        one.attr["api_preferred_device"].s = device.encode()
    n = Nodes()
    n.add("StatefulPartitionedCall", name="y", f=Func("good"), **CALL)
    return graph(n, good, evil)


def deep_in_an_attribute(attack: Attack, t: Target) -> Any:
    """A function that is named inside the attribute of an attribute."""
    n = Nodes()
    f = Func("good", {"inner": Func("good", {"more": [Func("evil")]})})
    n.add("StatefulPartitionedCall", name="y", f=f, **CALL)
    return graph(n, _harmless("good"), _evil("evil", attack, t))


def in_gradient(attack: Attack, t: Target) -> Any:
    """The gradient of a function calls the function."""
    n = Nodes()
    x = n.const(floats(1))
    n.add("SymbolicGradient", x, x, name="y", Tin=[FLOAT, FLOAT], Tout=[FLOAT], f=Func("evil"))
    return graph(n, _evil("evil", attack, t))


def remote(attack: Attack, t: Target) -> Any:
    """A call on another device."""
    n = Nodes()
    n.add(
        "RemoteCall", n.const("/cpu:0"), n.const("x"), name="y", f=Func("evil"), Tin=[STRING],
        Tout=[STRING],
    )  # fmt: skip
    return graph(n, _evil("evil", attack, t, {"x": STRING}))


def two_nodes_of_one_name(attack: Attack, t: Target) -> Any:
    """The last one of a name is good."""
    n = Nodes()
    _finish(n, attack(n, t))
    n.const("good", name="y")
    return graph(n)


def two_functions_of_one_name(attack: Attack, t: Target) -> Any:
    """The last one of a name is good."""
    n = Nodes()
    n.add("StatefulPartitionedCall", name="y", f=Func("evil"), **CALL)
    return graph(n, _evil("evil", attack, t), _harmless("evil"))


PLACES: dict[str, Callable[[Attack, Target], Any]] = {
    "in a function": in_function,
    "in a stateless call": in_stateless_call,
    "in a function called by its name": by_name,
    "in a function of a function": in_inner_function,
    "in the branch that runs": in_then,
    "in the branch that does not run": in_else,
    "in a stateless branch": in_stateless_if,
    "in a case": in_case,
    "in the body of a loop": in_while_body,
    "in the condition of a loop": in_while_condition,
    "in a counted loop": in_for,
    "behind control inputs": behind_control_input,
    "in a branch of TensorFlow 1": in_old_branch,
    "in a function with the name of an op": under_a_good_name,
    "in a node with the name of an op": node_with_a_good_name,
    "deep in an attribute": deep_in_an_attribute,
    "in a gradient": in_gradient,
    "in a remote call": remote,
    "beside a node of the same name": two_nodes_of_one_name,
    "beside a function of the same name": two_functions_of_one_name,
}
# Not known to be flagged as stateful, returning something or not: what is placed everywhere.
PLACED: dict[str, tuple[Attack, str]] = {
    key: ALONE[key] for key in ("ReadFile", "WriteFile", "ImmutableConst", "DebugIdentity")
}
_RUNS = (
    "in a function", "in a stateless call", "in a function of a function",
    "in the branch that runs", "in a case", "in the body of a loop", "behind control inputs",
    "in a branch of TensorFlow 1", "in a node with the name of an op",
)  # fmt: skip


def open_attribute(t: Target) -> Any:
    """An admitted op inside a function, whose caller says which file it reads."""
    body = Nodes(in_function=True)
    body.add(
        "DecodeProtoV2", body.const([b""]), name="d", out="sizes", message_type="x",
        field_names=["a"], output_types=[FLOAT], descriptor_source=Open("source"),
    )  # fmt: skip
    body.add("Identity", body.const("done"), "^d", name="y", T=STRING)
    n = Nodes()
    f = Func("evil", {"source": t.read})
    n.add("StatefulPartitionedCall", name="y", f=f, **CALL)
    return graph(n, function("evil", body, {}, {"out": ("y:output:0", STRING)}))


def op_as_function(t: Target) -> Any:
    """A call of an op where a function is expected."""
    n = Nodes()
    n.add(
        "StatefulPartitionedCall", n.const(t.read), name="y", f=Func("ReadFile"), Tin=[STRING],
        Tout=[STRING],
    )  # fmt: skip
    return graph(n)


def batching(t: Target) -> Any:
    """Makes as many threads as it says, which outlive the call."""
    n = Nodes()
    n.add(
        "BatchFunction", n.const(["x"]), name="batch", f=Func("good"), num_batch_threads=1000,
        max_batch_size=1, batch_timeout_micros=0, Tin=[STRING], Tcaptured=[], Tout=[STRING],
    )  # fmt: skip
    n.add("Identity", n.const("done"), "^batch", name="y", T=STRING)
    body = Nodes(in_function=True)
    out = body.add("Identity", "x", T=STRING)
    return graph(n, function("good", body, {"x": STRING}, {"out": (out, STRING)}))


def in_endless_loop(attack: Attack, t: Target) -> Any:
    """The body of a loop whose condition is the constant true."""
    n = Nodes(in_function=True)
    condition = function("condition", n, {"state": STRING}, {"out": (n.const(True), BOOL)})
    return _while(condition, _evil("body", attack, t, {"state": STRING}))


def _endless(name: str) -> Callable[[Target], Any]:
    return lambda t: in_endless_loop(ALONE[name][0], t)


def _special() -> list[Hostile]:
    return [
        Hostile("BatchFunction", batching),
        Hostile("WriteFile in a loop without end", _endless("WriteFile"), "write"),
        Hostile("FIFOQueueV2 in a loop without end", _endless("FIFOQueueV2")),
        Hostile("an attribute that the caller fills", open_attribute),
        Hostile("an op where a function is expected", op_as_function),
    ]


def _bites(bites: str, place: str) -> str:
    """What an attack does in a place; behind control inputs nobody sees what it read."""
    unseen = bites == "read" and place == "behind control inputs"
    return bites if place in _RUNS and not unseen else ""


def corpus() -> list[Hostile]:
    """All of them."""
    alone = [
        Hostile(name, lambda t, a=attack: _alone(a, t), bites)
        for name, (attack, bites) in ALONE.items()
    ]
    placed = [
        Hostile(f"{name} {place}", lambda t, a=attack, p=build: p(a, t), _bites(bites, place))
        for name, (attack, bites) in PLACED.items()
        for place, build in PLACES.items()
    ]
    return [*alone, *placed, *_special()]


CORPUS = {one.name: one for one in corpus()}
