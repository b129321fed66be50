"""The corpus of hostile graphs: TensorFlow itself would take them, so that a refusal is ours."""

from __future__ import annotations

import pytest
import tensorflow as tf

from tests.accel_daemon.engines.hostile_graphs import CORPUS, Hostile
from tests.accel_daemon.engines.hostile_ops import Target

# What TensorFlow refuses too, and in which words: it is in the corpus since admission must not
# depend on that.
REFUSED = {
    "an op of nobody": "not registered",
    "an op of another library": "not registered",
    "an op in other letters": "not registered",
    "in a function with the name of an op": "an op with the same name already exists",
    "beside a node of the same name": "is not unique",
    "beside a function of the same name": "with the same name already exists",
}
# Ops come and go: with another TensorFlow what it has no op for is skipped, not with this one.
COMPLETE = (2, 19)


def complaint(hostile: Hostile) -> str:
    """What TensorFlow says when it imports the graph, "" when it does not mind."""
    try:
        with tf.Graph().as_default():
            tf.import_graph_def(hostile.build(Target()), name="")
    except (ValueError, tf.errors.OpError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("hostile", CORPUS.values(), ids=CORPUS.keys())
def test_tensorflow_would_import_it(hostile: Hostile) -> None:
    """An attack that is malformed would be refused by anyone, and prove nothing."""
    expected = next((text for end, text in REFUSED.items() if hostile.name.endswith(end)), "")
    said = complaint(hostile)
    version = tuple(int(part) for part in tf.__version__.split(".")[:2])
    if not expected and "not registered" in said and version != COMPLETE:
        pytest.skip(f"TensorFlow {tf.__version__} has no such op")
    assert expected in said
    assert bool(said) == bool(expected), said


def test_a_malformed_graph_would_be_seen() -> None:
    """So that the test above can fail."""
    malformed = tf.compat.v1.GraphDef()
    malformed.node.add(name="y", op="ReadFile")
    assert complaint(Hostile("malformed", lambda _: malformed)) != ""
