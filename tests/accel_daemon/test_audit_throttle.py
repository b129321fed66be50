"""A flood of lines is cut, and the count of what was cut is a line of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from accel_daemon.audit_throttle import AuditThrottle


class Log:
    """What was written, at a time that the test says."""

    def __init__(self, burst: int = 3, per_second: float = 1.0) -> None:
        self.now, self.lines = 0.0, list[str]()
        self.throttle = AuditThrottle[str](
            self.lines.append, lambda count: f"-{count}", burst, per_second, lambda: self.now
        )


def test_below_the_bound_every_line_is_written() -> None:
    """One a second, for long."""
    log = Log()
    for number in range(100):
        log.throttle.submit(str(number))
        log.now += 1
    assert log.lines == [str(number) for number in range(100)]


def test_a_flood_is_counted() -> None:
    """The burst is written, the rest is one number, and then lines come through again."""
    log = Log()
    for number in range(10):
        log.throttle.submit(str(number))
    assert log.lines == ["0", "1", "2"]
    log.now += 5
    log.throttle.flush()
    assert log.lines[3:] == ["-7"]
    log.throttle.submit("next")
    assert log.lines[4:] == ["next"]


def test_the_count_comes_before_the_next_line() -> None:
    """Without anyone calling `flush`."""
    log = Log()
    for number in range(5):
        log.throttle.submit(str(number))
    log.now += 2
    log.throttle.submit("next")
    assert log.lines == ["0", "1", "2", "-2", "next"]


@given(st.lists(st.floats(0, 3), max_size=60))
def test_every_line_is_written_or_counted_and_the_rate_holds(pauses: list[float]) -> None:
    """Whenever they come."""
    log = Log()
    for pause in pauses:
        log.now += pause
        log.throttle.submit("x")
    assert len(log.lines) <= 3 + log.now + 1
    log.now += 10
    log.throttle.flush()
    counted = sum(int(line[1:]) for line in log.lines if line != "x")
    assert log.lines.count("x") + counted == len(pauses)
