"""A SavedModel in text form offers what its binary form would offer."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_runtime.models import saved_model
from client_runtime.models.saved_model import Signature, TensorInfo

TEXT = """
saved_model_schema_version: 1
meta_graphs {
  meta_info_def { tags: "serve" tensorflow_version: "1.15.0" stripped_op_list { op { name: "Add" } } }
  graph_def {
    node {
      name: "x" op: "Placeholder"
      attr { key: "dtype" value { type: DT_BFLOAT16 } }
      attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 name: "rgb" } } } }
      attr { key: "_output_shapes" value { list { shape { unknown_rank: true } } } }
    }
    node {
      name: "w" op: "Const"
      attr { key: "value" value { tensor { dtype: DT_INT32 tensor_content: "\\001\\000" } } }
    }
    versions { producer: 134 }
  }
  signature_def {
    key: "predict"
    value {
      inputs { key: "x" value { name: "x:0" dtype: DT_BFLOAT16 tensor_shape { unknown_rank: true } } }
      outputs {
        key: "s"
        value {
          coo_sparse { values_tensor_name: "v:0" indices_tensor_name: "i:0" dense_shape_tensor_name: "d:0" }
          dtype: DT_STRING
        }
      }
      method_name: "tensorflow/serving/predict"
    }
  }
}
"""  # noqa: E501 - a file as TensorFlow writes it


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SavedModel in text form, with a variable's file."""
    (tmp_path / "saved_model.pbtxt").write_text(TEXT)
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    return tmp_path


def test_signatures_and_tags_are_read(folder: Path) -> None:
    """What our subset of the messages leaves out is skipped, names of dtypes are understood."""
    (graph,) = saved_model.read(folder)
    assert graph.tags == {"serve"}
    sparse = {"s/indices": TensorInfo("i:0", 9), "s/shape": TensorInfo("d:0", 9)}
    outputs = {**sparse, "s/values": TensorInfo("v:0", 7)}
    inputs = {"x": TensorInfo("x:0", 14, None)}
    expected = Signature(inputs, outputs, "tensorflow/serving/predict")
    assert graph.signatures == {"predict": expected}


def test_the_graph_s_tensors_are_read(folder: Path) -> None:
    """As of a binary graph: placeholders with dtype and shape."""
    (graph,) = saved_model.read(folder)
    assert saved_model.tensors_of_graph(graph.graph_def) == {
        "x": TensorInfo("x", 14, (-1, 3)),
        "w": TensorInfo("w"),
    }


def test_the_text_is_part_of_the_bundle(folder: Path) -> None:
    """And nothing is missing or there twice."""
    names = list(saved_model.bundle_files(folder))
    assert names == ["saved_model.pbtxt", "variables/variables.index"]


def test_a_binary_beside_it_counts(folder: Path) -> None:
    """TensorFlow reads the text only where there is no binary."""
    (folder / "saved_model.pb").write_bytes(b"\x0a\xff\xff\xffnoise")
    with pytest.raises(OSError, match=r"Cannot parse file .*saved_model\.pb:"):
        saved_model.read(folder)
    assert "saved_model.pbtxt" not in saved_model.bundle_files(folder)


@pytest.mark.parametrize("content", [b"meta_graphs {", b"meta_graphs: 3", b"\xff\xfe", b""])
def test_a_broken_text_is_refused(folder: Path, content: bytes) -> None:
    """The text is TensorFlow's."""
    (folder / "saved_model.pbtxt").write_bytes(content)
    with pytest.raises(OSError, match=r"Cannot parse file .*saved_model\.pbtxt: "):
        saved_model.read(folder)
