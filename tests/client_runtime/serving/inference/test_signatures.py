"""Signatures as a version's folder has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format

from accel_protocol.errors import Status
from client_runtime.serving.inference import signatures
from client_runtime.serving.statuses import ServingError
from client_runtime.serving_wire.signatures_pb2 import SavedModel, SignatureDef
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT


def saved(*graphs: tuple[set[str], dict[str, SignatureDef]]) -> SavedModel:
    """A SavedModel of tag sets and signatures."""
    model = SavedModel()
    for tags, given in graphs:
        meta_graph = model.meta_graphs.add()
        meta_graph.meta_info_def.tags.extend(tags)
        for key, signature in given.items():
            meta_graph.signature_def[key].CopyFrom(signature)
    return model


ONE, TWO = (messages.signature({"x": FLOAT}, {name: FLOAT}) for name in "yz")
MODEL = saved(({"serve"}, {"b": TWO, "a": ONE}), ({"serve", "gpu"}, {"a": TWO}))


def test_signatures_are_those_of_the_tag_set(tmp_path: Path) -> None:
    """In binary or text form, which may say more than is known here; the binary comes first."""
    text = text_format.MessageToString(MODEL) + "saved_model_schema_version: 1"
    (tmp_path / "saved_model.pbtxt").write_text(text)
    assert list(signatures.read(tmp_path, ["serve"]).items()) == [("a", ONE), ("b", TWO)]
    other = saved(({"serve"}, {"c": ONE}))
    (tmp_path / "saved_model.pb").write_bytes(other.SerializeToString())
    assert list(signatures.read(tmp_path, ["serve"])) == ["c"]
    (tmp_path / "saved_model.pb").write_bytes(MODEL.SerializeToString())
    assert dict(signatures.read(tmp_path, ["gpu", "serve"])) == {"a": TWO}


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (None, Status.NOT_FOUND, "Could not find SavedModel .pb or .pbtxt at supplied export"),
        (b"\xff\xff", Status.INVALID_ARGUMENT, "cannot be parsed"),
        (MODEL.SerializeToString(), Status.NOT_FOUND, "matching supplied tags: { other }"),
    ],
)
def test_what_is_no_model_to_serve_says_so(
    tmp_path: Path, content: bytes | None, status: Status, text: str
) -> None:
    """With its folder."""
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ServingError) as caught:
        signatures.read(tmp_path, ["other"])
    assert caught.value.status is status
    assert text in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_what_loading_runs_is_no_signature_to_serve() -> None:
    """TensorFlow 2 lists it; so does one whose output is an operation, and one without outputs."""
    given = {
        "a": ONE,
        "__saved_model_init_op": ONE,
        "noop": messages.signature({}, {"done": 0}),
        "empty": messages.signature({"x": FLOAT}, {}),
    }
    assert set(signatures.not_runnable(given)) == {"__saved_model_init_op", "noop", "empty"}


def test_aliases_are_the_signatures() -> None:
    """Of feeds and fetches."""
    chosen = signatures.selection_of(ONE, ["serve"]).for_manifest()
    assert (chosen.feeds, chosen.fetches) == ({"x": "x:0"}, {"y": "y:0"})
    assert signatures.tag_set(["b", " a", "b"]) == ("a", "b")
