"""Builds GraphDefs by hand: also those that no TensorFlow would make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

NodeDef = tf.compat.v1.NodeDef
GraphDef = tf.compat.v1.GraphDef


@dataclass(frozen=True)
class Func:
    """The value of an attribute that names a function."""

    name: str
    attr: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Open:
    """The value of an attribute that the function's caller is to give."""

    name: str


def fill(attribute: Any, value: Any) -> None:
    """Put a Python value into an AttrValue."""
    if isinstance(value, bool):
        attribute.b = value
    elif isinstance(value, int):
        attribute.i = value
    elif isinstance(value, float):
        attribute.f = value
    elif isinstance(value, str | bytes):
        attribute.s = value.encode() if isinstance(value, str) else value
    elif isinstance(value, tf.DType):
        attribute.type = value.as_datatype_enum
    elif isinstance(value, tf.TensorShape):
        attribute.shape.CopyFrom(value.as_proto())
    elif isinstance(value, Func):
        _fill_function(attribute.func, value)
    elif isinstance(value, Open):
        attribute.placeholder = value.name
    elif isinstance(value, list):
        _fill_list(attribute.list, value)
    else:
        attribute.tensor.CopyFrom(value)


def _fill_function(message: Any, value: Func) -> None:
    message.name = value.name
    for key, inner in value.attr.items():
        fill(message.attr[key], inner)


def _fill_list(message: Any, values: list[Any]) -> None:
    message.SetInParent()
    for value in values:
        if isinstance(value, str | bytes):
            message.s.append(value.encode() if isinstance(value, str) else value)
        elif isinstance(value, tf.DType):
            message.type.append(value.as_datatype_enum)
        elif isinstance(value, tf.TensorShape):
            message.shape.add().CopyFrom(value.as_proto())
        elif isinstance(value, Func):
            _fill_function(message.func.add(), value)
        elif isinstance(value, float):
            message.f.append(value)
        else:
            message.i.append(value)


@dataclass
class Nodes:
    """Nodes of a graph, or of a function's body: there tensors have other names."""

    in_function: bool = False
    nodes: list[Any] = field(default_factory=list)

    def add(self, op: str, *inputs: str, name: str = "", out: str = "output", **attr: Any) -> str:
        """Add a node; gives the name of its first output, which its op calls `out`."""
        node = NodeDef(name=name or f"{op.lower().strip('_')}_{len(self.nodes)}", op=op)
        node.input.extend(inputs)
        for key, value in attr.items():
            fill(node.attr[key], value)
        self.nodes.append(node)
        return f"{node.name}:{out}:0" if self.in_function else f"{node.name}:0"

    def const(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """Add a constant."""
        tensor = tf.make_tensor_proto(value, dtype)
        return self.add("Const", name=name, dtype=tf.as_dtype(tensor.dtype), value=tensor)

    def last(self) -> str:
        """The name of the node that was added last."""
        return str(self.nodes[-1].name)


def function(name: str, nodes: Nodes, inputs: dict[str, Any], outputs: dict[str, Any]) -> Any:
    """A FunctionDef.

    Args:
        name: its name.
        nodes: its body.
        inputs: dtypes by name.
        outputs: tensor of the body and dtype, by name.
    """
    result = GraphDef().library.function.add()
    result.signature.name = name
    result.signature.is_stateful = True
    for key, dtype in inputs.items():
        result.signature.input_arg.add(name=key, type=dtype.as_datatype_enum)
    for key, (tensor, dtype) in outputs.items():
        result.signature.output_arg.add(name=key, type=dtype.as_datatype_enum)
        result.ret[key] = tensor
    result.node_def.extend(nodes.nodes)
    for node in nodes.nodes:
        result.control_ret[node.name] = node.name
        result.signature.control_output.append(node.name)
    return result


def graph(nodes: Nodes, *functions: Any) -> Any:
    """A GraphDef."""
    result = GraphDef()
    result.versions.producer = tf.version.GRAPH_DEF_VERSION
    result.node.extend(nodes.nodes)
    result.library.function.extend(functions)
    return result


def floats(*values: float) -> Any:
    """A float32 vector."""
    return np.array(values, np.float32)
