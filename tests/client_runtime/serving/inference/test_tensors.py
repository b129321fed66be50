"""Words about tensors that clients may be matching on."""

from __future__ import annotations

import pytest

from client_runtime.serving.inference import tensors
from client_runtime.serving.statuses import ServingError
from tests.client_runtime.serving.inference import messages
from tests.client_runtime.serving.inference.messages import FLOAT, STRING


def test_a_wrong_dtype_is_counted_by_the_tensors_names() -> None:
    """As TensorFlow does it, whatever the aliases are."""
    inputs = messages.signature({"a": FLOAT, "b": FLOAT}, {}).inputs
    inputs["a"].name, inputs["b"].name = "z:0", "y:0"
    with pytest.raises(ServingError, match=r"Expects arg\[1\] to be float but string is provided"):
        tensors.check_dtypes(inputs, {"a": STRING, "b": FLOAT})


@pytest.mark.parametrize("wanted", [0, FLOAT, FLOAT + 100])
def test_a_dtype_that_is_unknown_or_a_variables_fits(wanted: int) -> None:
    """The graph decides where the signature does not say."""
    tensors.check_dtypes(messages.signature({"x": wanted}, {}).inputs, {"x": FLOAT})
