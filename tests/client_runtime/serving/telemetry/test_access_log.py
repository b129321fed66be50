"""The access log's lines."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accel_protocol.errors import Status
from client_runtime.serving.events import Event, RequestRefused
from client_runtime.serving.servable import Caller
from client_runtime.serving.telemetry.access_log import (
    LONGEST_MEMBER,
    AccessLog,
    line,
    to_file,
    to_stderr,
)
from tests.client_runtime.serving.telemetry.events_of_a_day import (
    GRPC,
    request_ended,
    run_ended,
)
from tests.conftest import patience


def _members(*events: Event) -> list[dict[str, Any]]:
    written: list[str] = []
    log = AccessLog(written.append)
    for event in events:
        log.observe(event)
    log.close()
    lines = [json.loads(one) for one in "".join(written).splitlines()]
    for one in lines:
        assert one.pop("time").endswith("+00:00")
    return lines


@pytest.mark.parametrize(
    ("event", "members"),
    [
        (
            request_ended(),
            {
                "request_id": "r1",
                "door": "GRPC",
                "method": "Predict",
                "peer": "ipv4:10.0.0.7:5000",
                "model": "half",
                "version": 3,
                "signature": "serving_default",
                "status": "OK",
                "ms": 2.0,
                "bytes_in": 21,
                "bytes_out": 44,
            },
        ),
        (
            request_ended(
                caller=Caller(request_id="r2", door="REST", api="predict"),
                model="lost",
                version=None,
                signature="",
                status=Status.NOT_FOUND,
                response=None,
                bytes_out=None,
            ),
            {
                "request_id": "r2",
                "door": "REST",
                "method": "predict",
                "model": "lost",
                "status": "NOT_FOUND",
                "ms": 2.0,
            },
        ),
        (
            RequestRefused(
                Caller(request_id="r3", door="REST", peer="10.0.0.7"),
                "team-a",
                Status.PERMISSION_DENIED,
            ),
            {
                "request_id": "r3",
                "door": "REST",
                "peer": "10.0.0.7",
                "key": "team-a",
                "status": "PERMISSION_DENIED",
            },
        ),
    ],
)
def test_a_line(event: Event, members: dict[str, Any]) -> None:
    """What is known of a request, and never what was sent."""
    assert _members(event) == [members]


def test_runs_have_no_lines() -> None:
    """Requests do."""
    assert _members(run_ended()) == []


def test_a_client_cannot_make_lines() -> None:
    """A line end in a name stays in its member, and a long name is cut."""
    (one,) = _members(request_ended(model='a\n{"door": "FORGED"}' + "x" * 1000))
    assert one["model"].startswith("a\n{")
    assert len(one["model"]) == LONGEST_MEMBER


def test_time_is_utc() -> None:
    """With milliseconds, as in the daemon's logs."""
    assert line(1.5, {"door": "GRPC"}) == (
        '{"time": "1970-01-01T00:00:01.500+00:00", "door": "GRPC"}\n'
    )


def test_a_log_that_is_behind_says_how_many_lines_it_left_out() -> None:
    """Requests do not wait for it."""
    let_go = threading.Event()
    written: list[str] = []

    def write(text: str) -> None:
        let_go.wait()
        written.append(text)

    log = AccessLog(write, max_waiting=2)
    for number in range(5):
        log.observe(request_ended(caller=replace(GRPC, request_id=str(number))))
    let_go.set()
    log.close()
    lines = [json.loads(one) for one in "".join(written).splitlines()]
    assert [one["request_id"] for one in lines if "request_id" in one] == ["0", "1"]
    assert [one["left_out"] for one in lines if "left_out" in one] == [3]


def test_a_file_is_its_owner_s_and_may_be_moved_away(tmp_path: Path) -> None:
    """After rotation lines go to a new file."""
    path = tmp_path / "access.log"
    write = to_file(path)
    write("first\n")
    path.rename(tmp_path / "access.log.1")
    write("second\n")
    write("third\n")
    assert (tmp_path / "access.log.1").read_text() == "first\n"
    assert path.read_text() == "second\nthird\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_stops_nothing() -> None:
    """Its lines are lost, those to come are not."""
    written: list[str] = []
    failed = threading.Event()

    def write(text: str) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError("No space left on device")
        written.append(text)

    log = AccessLog(write)
    log.observe(request_ended())
    assert failed.wait(patience(60))
    log.observe(request_ended(caller=replace(GRPC, request_id="later")))
    log.close()
    assert [json.loads(one)["request_id"] for one in written] == ["later"]


def test_a_file_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    """The log takes it as above."""
    with pytest.raises(OSError, match="No such file"):
        to_file(tmp_path / "later" / "access.log")("lost\n")


def test_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The other place for lines."""
    to_stderr("a line\n")
    assert capsys.readouterr().err == "a line\n"
