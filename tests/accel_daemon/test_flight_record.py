"""The record that a process leaves of its work."""

from __future__ import annotations

import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.flight_record import FlightRecorder, read_file, read_record

GRAPH = bytes(range(32))


def recorder(folder: Path, slots: int = 2) -> tuple[FlightRecorder, Path]:
    """A recorder and its file."""
    path = folder / "record"
    return FlightRecorder(path, slots), path


def test_work_is_there_while_it_lasts(tmp_path: Path) -> None:
    """Kind, graph and times are read back; afterwards the slot is free."""
    writer, path = recorder(tmp_path)
    with writer.expect("run", GRAPH, 5.0).at_work():
        record = read_record(read_file(path))
        assert record is not None
        (work,) = record.work
    assert (work.kind, work.graph_id) == ("run", GRAPH)
    assert work.due - work.began == 5.0
    assert abs(work.began - time.monotonic()) < 5.0
    after = read_record(read_file(path))
    assert after is not None
    assert after.work == ()


def test_beats_are_counted(tmp_path: Path) -> None:
    """Each one changes the record."""
    writer, path = recorder(tmp_path)
    first = read_record(read_file(path))
    writer.beat()
    second = read_record(read_file(path))
    assert first is not None
    assert second is not None
    assert second.beats == first.beats + 1


def test_what_was_told_to_stop_is_due_earlier(tmp_path: Path) -> None:
    """Also when it is told before it begins."""
    writer, path = recorder(tmp_path)
    late, early = writer.expect("run", GRAPH, 500.0), writer.expect("load", GRAPH, 500.0)
    early.end_within(1.0)
    with late.at_work(), early.at_work():
        late.end_within(1.0)
        record = read_record(read_file(path))
    assert record is not None
    assert [one.kind for one in record.work] == ["run", "load"]
    assert all(one.due <= time.monotonic() + 1.0 for one in record.work)


def test_more_work_than_slots_goes_unrecorded(tmp_path: Path) -> None:
    """And a slot is used again once it is free."""
    writer, path = recorder(tmp_path, slots=1)
    for _ in range(3):
        with writer.expect("run", GRAPH, 1.0).at_work():
            with writer.expect("run", GRAPH, 1.0).at_work():
                record = read_record(read_file(path))
            assert record is not None
            assert len(record.work) == 1


def test_no_file_is_no_record(tmp_path: Path) -> None:
    """Nor is a link followed, which the process could have made."""
    assert read_file(tmp_path / "none") == b""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    assert read_file(tmp_path / "link") == b""
    assert read_record(b"") is None


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"ACFR" + tail))
def test_nothing_that_a_process_writes_raises(data: bytes) -> None:
    """The reader is the supervisor."""
    record = read_record(data)
    assert record is None or all(one.kind in ("load", "run", "compile") for one in record.work)
