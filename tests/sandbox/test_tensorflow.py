"""TensorFlow itself in the sandbox, with nothing in between: ops that reach for files fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.conftest import SECRET, Host, Probe, probing

DEEDS = {
    "ReadFile": "tf.io.read_file({path}).numpy()",
    "ReadFile of another process's variables": "tf.io.read_file('/proc/1/environ').numpy()",
    "MatchingFiles": "tf.io.matching_files({folder} + '/*').numpy().tolist()",
    "WriteFile": "tf.io.write_file({path}, 'x')",
    "WriteFile of a new file": "tf.io.write_file({folder} + '/new', 'x')",
    "ImmutableConst": (
        "tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[6], memory_region_name={path}).numpy()"
    ),
    "DebugIdentity": (
        "tf.raw_ops.DebugIdentity(input=1.0, tensor_name='x:0', "
        "debug_urls=['file://' + {folder} + '/debug'])"
    ),
    "PrintV2": "tf.print('x', output_stream='file://' + {folder} + '/printed')",
    "SaveV2": "tf.raw_ops.SaveV2(prefix={folder} + '/saved', tensor_names=['x'], "
    "shape_and_slices=[''], tensors=[tf.constant(1)])",
    "RestoreV2": "tf.raw_ops.RestoreV2(prefix={path}, tensor_names=['x'], "
    "shape_and_slices=[''], dtypes=[tf.int32])",
    "TextLineDataset": "list(tf.data.TextLineDataset({path}))",
    "FixedLengthRecordDataset": "list(tf.data.FixedLengthRecordDataset({path}, 1))",
    "CreateSummaryFileWriter": "tf.summary.create_file_writer({folder} + '/summary').flush()",
    "InitializeTableFromTextFile": (
        "tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer({path}, tf.string, 0, "
        "tf.int64, 1), 0).size().numpy()"
    ),
}


@pytest.fixture(scope="module")
def tensorflow(host: Host) -> Iterator[Probe]:
    """A confined process that has imported TensorFlow."""
    folder = host.folder / "daemon" / "accelerators" / "eia-tensorflow"
    (folder / "store").mkdir(parents=True)
    with probing(folder, host.names()) as probe:
        probe.run("import tensorflow, sys; sys.tf = tensorflow; answer = True")
        yield probe


def test_it_computes(tensorflow: Probe) -> None:
    """With threads, oneDNN and compiled code."""
    assert tensorflow.run(
        "import sys; tf = sys.tf\nx = tf.ones([1, 32, 32, 8])\n"
        "y = tf.nn.conv2d(x, tf.ones([3, 3, 8, 16]), 1, 'SAME')\n"
        "z = tf.function(lambda v: tf.reduce_sum(v), jit_compile=True)(y)\nanswer = float(z) > 0"
    )


@pytest.mark.parametrize("what", DEEDS)
def test_ops_stay_inside(tensorflow: Probe, host: Host, what: str) -> None:
    """Whatever they answer, it is nothing of the host's; and the host has nothing of theirs."""
    deed = DEEDS[what].format(path="canary", folder="open_folder")
    reply = tensorflow.ask(
        code=f"import sys; tf = sys.tf\nanswer = repr({deed})", names=tensorflow.names
    )
    if what == "MatchingFiles":
        assert reply == {"answer": "[]"}
    else:
        error = reply.get("error", "")
        assert "ermission denied" in error or "Failed to create directory" in error, reply
    assert SECRET[:6] not in str(reply.get("answer", ""))
    assert host.canary.read_text() == SECRET
    assert sorted(path.name for path in host.open_folder.iterdir()) == ["canary", "socket"]


def test_the_same_ops_work_in_the_store(tensorflow: Probe) -> None:
    """They failed above because of where they reached, not because they always do."""
    assert tensorflow.run(
        "import sys; tf = sys.tf\ntf.io.write_file(store + '/x', 'inside')\n"
        "answer = tf.io.read_file(store + '/x').numpy().decode() == 'inside' "
        "and len(tf.io.matching_files(store + '/*').numpy()) == 1"
    )
