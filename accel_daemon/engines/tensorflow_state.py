"""Whether a graph changes any state when it runs, told from its definition.

A client may repeat a call whose answer was lost only when repeating it is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tensorflow.python.framework import op_def_registry

IsAdmitted = Callable[[str], bool]

# Registered as stateful, and yet running them again changes nothing that a caller can see: handles
# to state, reads of it, and sources of randomness.
_HARMLESS = frozenset(
    {
        "AnonymousHashTable", "HashTable", "HashTableV2", "LookupTableFind", "LookupTableFindV2",
        "LookupTableSize", "LookupTableSizeV2", "LookupTableExport", "LookupTableExportV2",
        "MutableHashTable", "MutableHashTableV2", "Placeholder", "ReadVariableOp",
        "ResourceGather", "ResourceGatherNd", "VarHandleOp", "VarIsInitializedOp", "Variable",
        "VariableShape", "VariableV2", "PartitionedCall", "StatefulPartitionedCall", "If",
        "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase", "RandomUniform",
        "RandomUniformInt", "RandomStandardNormal", "ParameterizedTruncatedNormal",
        "TruncatedNormal", "RandomShuffle", "Multinomial", "RandomGamma", "RandomPoisson",
        "RandomPoissonV2", "Assert", "TensorListFromTensor", "StackV2",
        "TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3", "TensorArrayGatherV3",
        "TensorArrayScatterV3", "TensorArraySizeV3", "TensorArrayConcatV3", "TensorArraySplitV3",
        "TensorArrayGradV3", "TensorArrayCloseV3", "StackPushV2", "StackPopV2", "StackCloseV2",
        "NonMaxSuppression", "IsVariableInitialized", "RefEnter", "RefExit", "RefIdentity",
        "RefMerge", "RefNextIteration", "RefSelect", "RefSwitch",
    }
)  # fmt: skip


def is_repeatable(graph_def: Any, fetches: Iterable[str]) -> bool:
    """Whether no op that the fetches reach, functions included, changes state.

    Args:
        graph_def: a GraphDef.
        fetches: tensor names, for instance "scores:0".
    """
    return not any(_changes_state(op) for op in reached_ops(graph_def, fetches))


def changes_state(graph_def: Any, signatures: Iterable[Any], is_admitted: IsAdmitted) -> bool:
    """Whether one of a model's signatures changes state.

    Those that reach an op that is not admitted do not count: they cannot run.

    Args:
        graph_def: a GraphDef.
        signatures: SignatureDefs.
        is_admitted: whether an op may be used, by its name.
    """
    for signature in signatures:
        ops = set(reached_ops(graph_def, (info.name for info in signature.outputs.values())))
        if any(map(_changes_state, ops)) and all(map(is_admitted, ops)):
            return True
    return False


def _changes_state(op: str) -> bool:
    if op in _HARMLESS:
        return False
    definition = op_def_registry.get(op)
    # TensorFlow 1's Assign and its kin are not marked stateful; they take a reference.
    return (
        definition is None
        or definition.is_stateful
        or any(argument.is_ref for argument in definition.input_arg)
    )


def reached_ops(graph_def: Any, fetches: Iterable[str]) -> Iterator[str]:
    """The ops that fetches reach, functions included, and those that only have to run before.

    Args:
        graph_def: a GraphDef.
        fetches: tensor names, for instance "scores:0".
    """
    functions = {f.signature.name: f for f in graph_def.library.function}
    nodes = {node.name: node for node in graph_def.node}
    waiting = [_node_name(fetch) for fetch in fetches]
    seen: set[str] = set()
    called: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        node = nodes[name]
        waiting.extend(_node_name(source) for source in node.input)
        if node.op not in functions:
            yield node.op
        called.update(_functions_of(node, functions))
    yield from _function_ops(called, functions)


def _function_ops(called: set[str], functions: Any) -> Iterator[str]:
    waiting = list(called)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for node in functions[name].node_def:
            if node.op not in functions:
                yield node.op
            waiting.extend(_functions_of(node, functions))


def _functions_of(node: Any, functions: Any) -> Iterator[str]:
    if node.op in functions:
        yield node.op
    for attribute in node.attr.values():
        names = [attribute.func.name, *(f.name for f in attribute.list.func)]
        yield from (name for name in names if name in functions)


def _node_name(source: str) -> str:
    return source.lstrip("^").split(":", 1)[0]
