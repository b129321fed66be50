"""What the filter refuses, call by call, on the program that the kernel gets."""

from __future__ import annotations

import errno
import socket

import pytest

from accel_daemon.sandbox import denied
from accel_daemon.sandbox.bpf import ALLOW, ERRNO, Rule

PID = 4711
OTHER = 4712
THREAD_FLAGS = 0x003D_0F00  # what the C library starts threads with
FORK_FLAGS = 0x0120_0011  # what it forks with
STREAM = socket.SOCK_STREAM
PACKET_SOCKET, NETLINK, VSOCK, ALG = 17, 16, 40, 38


def answer(name: str, *args: int, unix_sockets: bool = False) -> int:
    """What the rules do with one call: 0, or the errno."""
    rules = denied.rules(denied.starting_groups(PID, unix_sockets))
    matching = [
        one for one in rules if name in one.names and all(_holds(c, args) for c in one.when)
    ]
    return matching[0].errno if matching else 0


def _holds(condition: object, args: tuple[int, ...]) -> bool:
    from tests.accel_daemon.sandbox.test_bpf import holds

    return holds(condition, (*args, *[0] * 6))  # type: ignore[arg-type]


REFUSED = [
    *[(name, ()) for name in ("execve", "execveat", "fork", "vfork", "ptrace", "unshare", "setns")],
    *[(name, ()) for name in ("process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp")],
    *[(name, ()) for name in ("mount", "umount2", "pivot_root", "chroot", "move_mount", "fsopen")],
    *[(name, ()) for name in ("io_uring_setup", "io_uring_enter", "io_uring_register")],
    *[(name, ()) for name in ("keyctl", "add_key", "request_key", "bpf", "perf_event_open")],
    *[(name, ()) for name in ("userfaultfd", "kexec_load", "kexec_file_load", "personality")],
    *[(name, ()) for name in ("init_module", "finit_module", "delete_module", "reboot", "swapon")],
    *[(name, ()) for name in ("swapoff", "acct", "quotactl", "open_by_handle_at", "iopl")],
    *[(name, ()) for name in ("name_to_handle_at", "setuid", "setresuid", "setgroups", "capset")],
    *[(name, ()) for name in ("chmod", "fchmodat", "chown", "setxattr", "utimensat", "mknodat")],
    *[(name, ()) for name in ("symlinkat", "shmget", "msgget", "mq_open", "connect")],
    ("clone", (FORK_FLAGS,)),
    ("clone", (THREAD_FLAGS | 0x2_0000,)),
    ("socket", (socket.AF_UNIX, STREAM, 0)),
    ("socket", (socket.AF_INET, socket.SOCK_DGRAM, 0)),
    ("socket", (socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)),
    ("socket", (socket.AF_INET, socket.SOCK_RAW, 1)),
    ("socket", (socket.AF_INET, STREAM, 262)),  # Multipath TCP, which Landlock does not know
    ("socket", (socket.AF_INET, STREAM, 132)),  # SCTP
    *[("socket", (family, STREAM, 0)) for family in (PACKET_SOCKET, NETLINK, VSOCK, ALG)],
    ("sendto", (3, 0, 0, 0x2000_0000)),
    ("sendmsg", (3, 0, 0x2000_0000)),
    ("kill", (OTHER, 9)),
    ("kill", (0, 9)),
    ("kill", (2**64 - 1, 9)),
    ("tgkill", (OTHER, OTHER, 9)),
    ("prlimit64", (OTHER, 7)),
    ("ioctl", (0, 0x5412)),
    ("prctl", (1, 0)),
    ("prctl", (4, 1)),
    ("inotify_add_watch", ()),
    ("open", (0, 0o101, 0o4755)),
    ("openat", (0, 0, 0o101, 0o2755)),
    ("openat", (0, 0, 0o20200002, 0o4700)),  # a file without a name
    ("creat", (0, 0o4755)),
    ("fchmod", (3, 0o4755)),
]
ALLOWED = [
    *[(name, ()) for name in ("read", "write", "mmap", "mprotect", "futex", "epoll_wait")],
    *[(name, ()) for name in ("accept4", "recvmsg", "socketpair", "bind", "listen", "link")],
    ("clone", (THREAD_FLAGS,)),
    ("socket", (socket.AF_INET, STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)),
    ("socket", (socket.AF_INET6, STREAM, socket.IPPROTO_TCP)),
    ("sendmsg", (3, 0, socket.MSG_NOSIGNAL)),
    ("kill", (PID, 15)),
    ("tgkill", (PID, OTHER, 6)),
    ("prlimit64", (0, 7)),
    ("prlimit64", (PID, 7)),
    ("ioctl", (0, 0x5413)),
    ("prctl", (15,)),
    ("openat", (0, 0, 0o101, 0o600)),
    ("openat", (0, 0, 0, 0o4755)),  # nothing is made, so the mode means nothing
    ("fchmod", (3, 0o600)),
]


@pytest.mark.parametrize(("name", "args"), REFUSED, ids=str)
def test_refused(name: str, args: tuple[int, ...]) -> None:
    """EPERM for each of these."""
    assert answer(name, *args) == errno.EPERM


@pytest.mark.parametrize(("name", "args"), ALLOWED, ids=str)
def test_allowed(name: str, args: tuple[int, ...]) -> None:
    """What serving and engines need."""
    assert answer(name, *args) == 0


@pytest.mark.parametrize("name", ["clone3", "openat2"])
def test_calls_that_are_not_there(name: str) -> None:
    """The C library takes the older call, whose arguments a filter can look at."""
    assert answer(name) == errno.ENOSYS


def test_a_gpus_driver_may_have_local_sockets() -> None:
    """Only where there is a GPU."""
    assert answer("socket", socket.AF_UNIX, STREAM, 0, unix_sockets=True) == 0
    assert answer("socket", NETLINK, STREAM, 0, unix_sockets=True) == errno.EPERM


def test_no_socket_is_made_once_it_listens() -> None:
    """The second filter leaves accepting, and nothing else."""
    (rule,) = denied.rules(denied.sealing_groups())
    assert rule == Rule(("socket", "bind", "listen"))


def test_every_group_has_a_reason_and_every_name_a_number() -> None:
    """A misspelt name would be a call that is not refused."""
    from accel_daemon.sandbox.syscalls import AARCH64, X86_64

    groups = (*denied.starting_groups(PID, False), *denied.sealing_groups())
    for group in groups:
        assert group.reason.endswith(".")
    names = {name for group in groups for rule in group.rules for name in rule.names}
    assert names <= X86_64.numbers.keys()
    assert X86_64.numbers.keys() - AARCH64.numbers.keys() <= {
        *("chmod", "chown", "creat", "create_module", "fork", "futimesat", "ioperm", "iopl"),
        *("lchown", "mknod", "modify_ldt", "open", "symlink", "uselib", "utime", "utimes", "vfork"),
    }


def test_actions_are_the_kernels() -> None:
    """The two numbers that decide everything."""
    assert (ALLOW, ERRNO) == (0x7FFF_0000, 0x0005_0000)
