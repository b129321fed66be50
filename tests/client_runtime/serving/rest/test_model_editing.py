"""Single models are added and removed over HTTP."""

from __future__ import annotations

import hashlib
from pathlib import Path

from client_runtime.serving.access.guard import Guard
from client_runtime.serving.access.key_file import KeyFile
from client_runtime.serving.rest.hooks import Hooks
from client_runtime.serving.rest.options import RestOptions
from client_runtime.serving.servable import Bounds
from client_runtime.serving_wire.model_management_pb2 import ModelConfig
from tests.client_runtime.serving.rest.conftest import serve

PREDICT = "/v1/models/half:predict"
INSTANCES = '{"instances": [2.0, 3.0, 4.0]}'


class Edits:
    """Notes what is to be served."""

    def __init__(self) -> None:
        self.put: list[ModelConfig] = []
        self.removed: list[str] = []

    def put_model(self, model: ModelConfig, bounds: Bounds) -> None:
        """See Editor."""
        self.put.append(model)

    def remove_model(self, name: str, bounds: Bounds) -> None:
        """See Editor."""
        self.removed.append(name)


def test_models_are_added_and_removed() -> None:
    """Where there is an editor; the answer is the model's states."""
    edits = Edits()
    with serve(RestOptions(), Hooks(editor=edits)) as server:
        answer = server.ask("PUT", "/v1/models/half", '{"base_path": "/m"}')
        assert answer.json["model_version_status"][0]["state"] == "AVAILABLE"
        removed = server.ask("DELETE", "/v1/models/half")
        assert (removed.status, removed.json) == (200, {})
        assert server.ask("PUT", "/v1/models/half/versions/1", "{}").status == 400
    assert edits.put == [ModelConfig(name="half", base_path="/m", model_platform="tensorflow")]
    assert edits.removed == ["half"]


def test_changing_models_needs_a_key_for_all(tmp_path: Path) -> None:
    """One for the model alone could have any folder served under its name."""
    edits, keys = Edits(), tmp_path / "keys"
    lines = [
        f"{name} sha256:{hashlib.sha256(name.encode()).hexdigest()} {models}"
        for name, models in (("one", "half"), ("all", "*"))
    ]
    keys.write_text("\n".join(lines))
    hooks = Hooks(guard=Guard(KeyFile(str(keys))), editor=edits)
    with serve(RestOptions(), hooks) as server:
        statuses = [
            server.ask("DELETE", "/v1/models/half", headers={"x-api-key": key}).status
            for key in ("one", "all")
        ]
    assert (statuses, edits.removed) == ([403, 200], ["half"])
