"""What the rooms say to each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.assembly import version_changed
from client_runtime.serving.events import VersionChanged
from client_runtime.serving.models.lifecycle import News, State
from client_runtime.serving.servable import ServableId
from client_runtime.serving.statuses import ServingError

ID = ServableId("m", 7)
BROKEN = ServingError(Status.NOT_FOUND, "no such file")


@pytest.mark.parametrize(
    ("state", "error", "seconds"),
    [
        (State.LOADING, None, None),
        (State.LOADING, BROKEN, 2.0),
        (State.AVAILABLE, None, 2.0),
        (State.UNLOADING, BROKEN, None),
        (State.END, BROKEN, None),
    ],
)
def test_a_version_s_event_has_a_load_s_time_where_one_ended(
    tmp_path: Path, state: State, error: ServingError | None, seconds: float | None
) -> None:
    """And the folder, the error, and the bytes of the variables of what was loaded."""
    (tmp_path / "variables").mkdir()
    (tmp_path / "variables" / "variables.index").write_bytes(bytes(100))
    told = version_changed(News(ID, state, error, 2.0, tmp_path, seconds is not None))
    assert told == VersionChanged(
        ID,
        state.name,
        str(tmp_path),
        error.message if error else "",
        error.status if error else None,
        seconds,
        100 if state is State.AVAILABLE else 0,
    )


def test_a_version_whose_folder_is_gone_has_no_bytes(tmp_path: Path) -> None:
    """It may be removed once it is loaded."""
    assert version_changed(News(ID, State.AVAILABLE, None, 2.0, tmp_path / "m")).weight_bytes == 0
