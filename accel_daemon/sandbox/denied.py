"""Which system calls an accelerator is refused, group by group, and why. Pure.

A list of what is refused, not of what is allowed: engines, drivers and the C library call what
they like, differently on each machine and in each version, and files and ports are Landlock's
matter. So what is listed is every way to another program, process or machine, and to the kernel's
less used parts.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from accel_daemon.sandbox.bpf import AnyBit, NoBit, OneOf, Other, Rule
from accel_daemon.sandbox.kernel import PR_SET_DUMPABLE, PR_SET_PDEATHSIG

# From the kernel's headers; equal on all machines the filter is made for.
CLONE_THREAD = 0x0001_0000
CLONE_NEW_NAMESPACES = 0x7E02_0000
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_TYPE_MASK = 1, 0xF
IPPROTO_IP, IPPROTO_TCP = 0, 6
MSG_FASTOPEN = 0x2000_0000
SET_ID_BITS = 0o6000
O_CREAT, O_TMPFILE = 0o100, 0o20000000
TIOCSTI, TIOCLINUX = 0x5412, 0x541C


@dataclass(frozen=True)
class Group:
    """Rules that share a reason."""

    reason: str
    rules: tuple[Rule, ...]


def _never(*names: str) -> Rule:
    return Rule(names)


def _of_others(pid: int) -> tuple[Group, ...]:
    # Landlock says the same of signals, from ABI 6.
    return (
        Group(
            "A signal is for this process itself only.",
            (
                Rule(
                    ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), (Other(0, (pid,)),)
                ),
                _never("tkill", "pidfd_send_signal"),
            ),
        ),
        Group(
            "Limits and priorities of others stay as they are, and its own are set.",
            (
                Rule(("prlimit64",), (Other(0, (0, pid)),)),
                _never("setpriority", "ioprio_set", "migrate_pages", "move_pages"),
            ),
        ),
    )


# What is called most comes first, because a filter is a list that is read from its start.
_NETWORK = Group(
    "It answers on the port it listens on. It reaches out to no one: not by TCP's fast open "
    "either, which connects while it sends, and not by protocols that Landlock does not know.",
    (
        Rule(("sendmsg",), (AnyBit(2, MSG_FASTOPEN),)),
        Rule(("sendto", "sendmmsg"), (AnyBit(3, MSG_FASTOPEN),)),
        _never("connect"),
        Rule(
            ("socket",), (OneOf(0, (AF_INET, AF_INET6)), Other(1, (SOCK_STREAM,), SOCK_TYPE_MASK))
        ),
        Rule(("socket",), (OneOf(0, (AF_INET, AF_INET6)), Other(2, (IPPROTO_IP, IPPROTO_TCP)))),
    ),
)

_FILES = Group(
    "Owners, modes, attributes and times of files are outside of what Landlock knows, and so is "
    "watching them; special files, links by name and setuid programs are not made.",
    (
        Rule(("open",), (AnyBit(1, O_CREAT | O_TMPFILE), AnyBit(2, SET_ID_BITS))),
        Rule(("openat",), (AnyBit(2, O_CREAT | O_TMPFILE), AnyBit(3, SET_ID_BITS))),
        Rule(("creat", "fchmod"), (AnyBit(1, SET_ID_BITS),)),
        Rule(("openat2",), errno=errno.ENOSYS),  # its mode stands where a filter cannot look
        _never("chmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
        _never("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
        _never("removexattr", "lremovexattr", "fremovexattr", "removexattrat", "file_setattr"),
        _never("utime", "utimes", "futimesat", "utimensat", "mknod", "mknodat"),
        _never("symlink", "symlinkat", "inotify_add_watch"),
    ),
)

_GROUPS = (
    _NETWORK,
    _FILES,
    Group(
        "No other program is ever started, and no other process; threads are.",
        (
            Rule(("clone",), (NoBit(0, CLONE_THREAD),)),
            Rule(("clone",), (AnyBit(0, CLONE_NEW_NAMESPACES),)),
            # Its flags stand where a filter cannot look; the C library then takes clone.
            Rule(("clone3",), errno=errno.ENOSYS),
            _never("execve", "execveat", "fork", "vfork", "uselib"),
        ),
    ),
    Group(
        "A terminal that it inherited is not typed into.",
        (Rule(("ioctl",), (OneOf(1, (TIOCSTI, TIOCLINUX)),)),),
    ),
    Group(
        "The memory and the open files of other processes are theirs.",
        (
            _never("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"),
            _never("process_mrelease", "pidfd_open", "pidfd_getfd", "kcmp"),
        ),
    ),
    Group(
        "What it sees of the file system stays what it is.",
        (
            _never("mount", "umount2", "pivot_root", "chroot", "mount_setattr", "open_tree"),
            _never("open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount", "fspick"),
            _never("unshare", "setns", "statmount", "listmount", "fanotify_init", "fanotify_mark"),
            _never("quotactl", "quotactl_fd", "lookup_dcookie", "nfsservctl"),
        ),
    ),
    Group(
        "A file is found by its name, where Landlock looks.",
        (_never("open_by_handle_at", "name_to_handle_at"),),
    ),
    Group(
        "Its system calls go past this filter when they are queued instead of made.",
        (_never("io_uring_setup", "io_uring_enter", "io_uring_register"),),
    ),
    Group(
        "Keys, and memory and messages found by a number, are shared with others on the host.",
        (
            _never("add_key", "request_key", "keyctl"),
            _never("shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop"),
            _never("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
        ),
    ),
    Group(
        "Parts of the kernel that most exploits of it begin with.",
        (
            _never("bpf", "perf_event_open", "userfaultfd", "personality", "modify_ldt"),
            _never("iopl", "ioperm"),
        ),
    ),
    Group(
        "The machine itself is not its own.",
        (
            _never(
                "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "syslog"
            ),
            _never("create_module", "init_module", "finit_module", "delete_module", "vhangup"),
            _never("settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
            _never("sethostname", "setdomainname"),
        ),
    ),
    Group(
        "It stays who it is, and ends with its supervisor.",
        (
            Rule(("prctl",), (OneOf(0, (PR_SET_PDEATHSIG, PR_SET_DUMPABLE)),)),
            _never("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid"),
            _never("setgroups", "setfsuid", "setfsgid", "capset"),
        ),
    ),
)


def starting_groups(pid: int, unix_sockets: bool) -> tuple[Group, ...]:
    """What is refused from the beginning.

    Args:
        pid: of the process that is confined.
        unix_sockets: whether sockets of the kind AF_UNIX may be made, as a GPU's driver wants.
    """
    families = (AF_UNIX, AF_INET, AF_INET6) if unix_sockets else (AF_INET, AF_INET6)
    kinds = Group(
        "Sockets are for serving over IP: none for packets, for the kernel, or for this host.",
        (Rule(("socket",), (Other(0, families),)),),
    )
    return (*_GROUPS[:2], kinds, *_GROUPS[2:], *_of_others(pid))


def sealing_groups() -> tuple[Group, ...]:
    """What is refused as well once the accelerator listens, before it serves anyone."""
    return (
        Group(
            "It listens where it was told to, and nowhere else.",
            (_never("socket", "bind", "listen"),),
        ),
    )


def rules(groups: tuple[Group, ...]) -> tuple[Rule, ...]:
    """The rules of some groups, in their order."""
    return tuple(rule for group in groups for rule in group.rules)
