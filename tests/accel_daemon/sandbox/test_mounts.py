"""Which folders are covered so that the others in them can be reached."""

from __future__ import annotations

from accel_daemon.sandbox.mounts import Cover, needed_covers


def covers(closed: set[str], *paths: str) -> list[Cover]:
    """The covers for paths when these folders are closed."""
    return needed_covers(paths, closed.__contains__)


def test_open_folders_are_left_alone() -> None:
    """Nothing is done that is not needed."""
    assert covers({"/srv/other"}, "/usr", "/srv/store") == []


def test_a_closed_folder_shows_only_what_is_needed() -> None:
    """An interpreter and a home in a folder that others may not enter."""
    found = covers({"/closed"}, "/closed/python/3.11", "/closed/.accel/d/store", "/usr")
    assert found == [Cover("/closed", ("/closed/python/3.11", "/closed/.accel/d/store"))]


def test_the_outermost_closed_folder_is_covered() -> None:
    """Those below it are then out of sight anyway."""
    found = covers({"/a/b", "/a/b/c", "/x"}, "/a/b/c/store", "/x/lib")
    assert found == [Cover("/a/b", ("/a/b/c/store",)), Cover("/x", ("/x/lib",))]


def test_a_folder_in_another_one_is_bound_once() -> None:
    """Libraries lie in each other."""
    assert covers({"/r"}, "/r/py", "/r/py/lib/site-packages") == [Cover("/r", ("/r/py",))]


def test_a_closed_folder_itself_is_not_covered() -> None:
    """The store is closed to all but its owner, who is the accelerator."""
    assert covers({"/srv/store"}, "/srv/store") == []
