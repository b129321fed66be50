"""Which files tell what the control groups of a process bound."""

from __future__ import annotations

import pytest

from accel_daemon.control_groups import memory_groups

V1 = "35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
OTHERS = (
    "22 1 254:1 / / rw - ext4 /dev/root rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "damaged\n"
)


def limits(membership: str, mounts: str) -> list[str]:
    """The files with limits."""
    return [group.limit for group in memory_groups(membership, OTHERS + mounts)]


def test_version_2_from_the_inside_out() -> None:
    """The group's own bound, and those of all above it."""
    found = limits("0::/user.slice/a\n", V2.format(root="/"))
    assert found == [
        "/sys/fs/cgroup/user.slice/a/memory.max",
        "/sys/fs/cgroup/user.slice/memory.max",
        "/sys/fs/cgroup/memory.max",
    ]


def test_version_1_has_other_names() -> None:
    """And a hierarchy for memory beside others."""
    (group, _) = memory_groups("5:cpu:/x\n4:memory:/a\n0::/\n", V1.format(root="/"))
    assert group.files == (
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/a/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/a/memory.stat",
    )
    assert group.reclaimable == "total_inactive_file"


def test_hosts_with_both_versions() -> None:
    """Either may have the bound."""
    both = V1.format(root="/") + V2.format(root="/")
    assert limits("4:memory:/a\n0::/b\n", both)[0::2] == [
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        "/sys/fs/cgroup/b/memory.max",
    ]


@pytest.mark.parametrize(
    ("membership", "root", "first"),
    [
        ("0::/docker/1", "/docker/1", "/sys/fs/cgroup/memory.max"),
        ("0::/docker/1/inner", "/docker/1", "/sys/fs/cgroup/inner/memory.max"),
        ("0::/docker/1", "/docker/2", "/sys/fs/cgroup/memory.max"),
        ("0::/../sibling", "/", "/sys/fs/cgroup/memory.max"),
    ],
)
def test_containers_see_a_part(membership: str, root: str, first: str) -> None:
    """What is mounted is their own group; paths of the host mean nothing inside."""
    assert limits(membership, V2.format(root=root))[0] == first


def test_folders_with_blanks() -> None:
    """They are written in octal."""
    line = "30 23 0:26 / /sys/fs/my\\040groups rw - cgroup2 cgroup2 rw\n"
    assert limits("0::/\n", line) == ["/sys/fs/my groups/memory.max"]


def test_without_groups_there_are_no_files() -> None:
    """On other systems, or where they are not mounted."""
    assert limits("", "") == []
    assert limits("0::/a\n", "") == []
    assert limits("", V2.format(root="/")) == []
