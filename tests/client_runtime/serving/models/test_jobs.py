"""Threads for work that may fail, hang or be late."""

from __future__ import annotations

import threading

from client_runtime.serving.models.jobs import Jobs
from tests.conftest import eventually, patience


def test_so_many_run_at_a_time_and_all_run() -> None:
    """The others wait in line, and their threads are used again."""
    jobs, lock, gate = Jobs("test", 2), threading.Lock(), threading.Semaphore(0)
    running: list[int] = []
    done: list[int] = []

    def work(number: int) -> None:
        with lock:
            running.append(number)
        assert gate.acquire(timeout=patience(20))
        with lock:
            running.remove(number)
            done.append(number)

    for number in range(5):
        jobs.submit(lambda number=number: work(number))
    eventually(lambda: sorted(running) == [0, 1])
    gate.release()
    eventually(lambda: len(done) == 1 and len(running) == 2)
    gate.release(4)
    eventually(lambda: sorted(done) == [0, 1, 2, 3, 4])


def test_a_job_that_fails_takes_no_room() -> None:
    """Nor does it end the thread for those that wait."""
    jobs, done = Jobs("test", 1), threading.Event()

    def fail() -> None:
        raise RuntimeError("a job's own fault")

    for job in (fail, fail, done.set):
        jobs.submit(job)
    assert done.wait(patience(20))


def test_a_job_that_hangs_does_not_keep_the_process() -> None:
    """Its thread is a daemon."""
    threads: list[threading.Thread] = []
    Jobs("test", 1).submit(lambda: threads.append(threading.current_thread()))
    eventually(lambda: threads)
    assert threads[0].daemon
