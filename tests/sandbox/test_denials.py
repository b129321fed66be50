"""Each promise of docs/sandbox.md, broken on purpose inside the sandbox: the kernel says no.

The probe runs as the accelerator would, so what is refused here is refused to any code that a graph
could come to execute.
"""

from __future__ import annotations

import pytest

from tests.sandbox.conftest import SECRET, Host, Probe

FILES = {
    "read outside": "open(canary).read()",
    "read the neighbour's store": "open(neighbour + '/blob').read()",
    "list outside": "os.listdir(open_folder)",
    "list the folder above": "os.listdir(store + '/../..')",
    "write outside": "open(canary, 'w')",
    "append outside": "open(canary, 'a')",
    "make a file outside": "open(open_folder + '/new', 'w')",
    "make a folder outside": "os.mkdir(open_folder + '/folder')",
    "make a temporary file of the host": "open('/tmp/accel-test-new', 'w')",
    "make shared memory": "open('/dev/shm/accel-test-new', 'w')",
    "truncate outside": "os.truncate(canary, 0)",
    "remove outside": "os.remove(canary)",
    "move in": "os.rename(canary, store + '/stolen')",
    "move out": "os.rename(store + '/blob', open_folder + '/moved')",
    "link in": "os.link(canary, store + '/stolen')",
    "link out": "os.link(store + '/blob', open_folder + '/linked')",
    "follow a link by name": "open(store + '/way-out').read()",
    "write through a link by name": "open(store + '/way-out', 'w')",
    "make a link by name": "os.symlink(canary, store + '/second-way-out')",
    "change a mode outside": "os.chmod(canary, 0o777)",
    "change times outside": "os.utime(canary)",
    "change an owner outside": "os.chown(canary, os.getuid(), -1)",
    "change an attribute outside": "os.setxattr(canary, 'user.x', b'x')",
    "change a mode to that of a program of the owner": "os.chmod(store + '/blob', 0o4755)",
    "make a program of the owner": "os.open(store + '/p', os.O_CREAT | os.O_WRONLY, 0o4755)",
    "make a device": "os.mknod(store + '/null', 0o20600, os.makedev(1, 3))",
    "make a pipe": "os.mkfifo(store + '/pipe')",
    "watch outside": "syscall(254, 27, syscall(294, 26, 0), canary.encode(), 0xFFF)",
    "users of the host": "open('/etc/passwd').read()",
    "passwords of the host": "open('/etc/shadow').read()",
    "devices of the host": "open('/dev/full', 'rb')",
    "write to libraries": "import json; open(json.__file__, 'a')",
}
PROCESSES = {
    "environment of the supervisor": "open(f'/proc/{supervisor}/environ').read()",
    "arguments of the supervisor": "open(f'/proc/{supervisor}/cmdline').read()",
    "memory of the supervisor": "open(f'/proc/{supervisor}/mem', 'rb')",
    "open files of the supervisor": "os.listdir(f'/proc/{supervisor}/fd')",
    "environment of process 1": "open('/proc/1/environ').read()",
    "which processes there are": "os.listdir('/proc')",
    "settings of the kernel": "open('/proc/sys/kernel/hostname').read()",
    "start a program": "os.execv('/bin/true', ['true'])",
    "start a program beside": "os.posix_spawn('/bin/true', ['true'], {})",
    "start a program from memory": (
        "d = os.memfd_create('x'); os.write(d, b'#!/bin/sh\\n')\n"
        "syscall(322, 281, d, b'', 0, 0, 0x1000)"
    ),
    "run a command": "import subprocess; subprocess.run(['/bin/true'])",
    "fork": "os.fork()",
    "vfork": "syscall(58, 220, 0x4111, 0, 0, 0, 0)",
    "clone a process": "syscall(56, 220, 17, 0, 0, 0, 0)",
    "trace another": "libc.ptrace(16, victim, 0, 0) == 0 or syscall(101, 117, 16, victim, 0, 0)",
    "read another's memory": "syscall(310, 270, victim, 0, 0, 0, 0, 0)",
    "open another's files": "syscall(438, 438, 3, 0, 0)",
    "hold another": "os.pidfd_open(victim)",
    "end another": "os.kill(victim, 9)",
    "ask after another": "os.kill(victim, 0)",
    "end the supervisor": "os.kill(supervisor, 15)",
    "end everything": "os.kill(-1, 15)",
    "end its group": "os.kill(0, 15)",
    "limit another": "import resource; resource.prlimit(victim, resource.RLIMIT_NOFILE, (1, 1))",
    "outlive its supervisor": "syscall(157, 167, 1, 0, 0, 0, 0)",
    "let itself be traced": "syscall(157, 167, 4, 1, 0, 0, 0)",
    "type into a terminal": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
}
NETWORK = {
    "connect": "import socket; socket.create_connection(('127.0.0.1', port), 5)",
    "connect while sending": (
        "import socket\ns = socket.socket()\ns.sendto(b'x', 0x20000000, ('127.0.0.1', port))"
    ),
    "datagrams": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "datagrams over IPv6": "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "raw socket": "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packet socket": "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)",
    "virtual machine's host": "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "the kernel's ciphers": "import socket; socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "multipath TCP": "import socket; socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "abstract local socket": (
        "import socket; socket.socket(socket.AF_UNIX).connect('\\0' + abstract)"
    ),
    "named local socket": "import socket; socket.socket(socket.AF_UNIX).connect(named)",
    "listen on another port": "import socket; socket.create_server(('127.0.0.1', port + 1))",
}
KERNEL = {
    "io_uring": "syscall(425, 425, 8, ctypes.create_string_buffer(120))",
    "mount": "syscall(165, 40, b'none', scratch.encode(), b'tmpfs', 0, 0)",
    "unmount": "syscall(166, 39, b'/proc', 0)",
    "new root": "os.chroot(scratch)",
    "pivot root": "syscall(155, 41, scratch.encode(), scratch.encode())",
    "namespaces": "syscall(272, 97, 0x10000000)",
    "enter a namespace": "syscall(308, 268, 0, 0)",
    "keys": "syscall(250, 219, 0, -3, 0)",
    "add a key": "syscall(248, 217, b'user', b'x', b'x', 1, -3)",
    "programs in the kernel": "syscall(321, 280, 0, 0, 0)",
    "performance counters": "syscall(298, 241, 0, 0, -1, -1, 0)",
    "page faults": "syscall(323, 282, 1)",
    "file handles": "syscall(303, 264, -100, scratch.encode(), 0, 0, 0)",
    "open a file handle": "syscall(304, 265, -100, 0, 0)",
    "personality": "syscall(135, 92, 0x0040000)",
    "modules": "syscall(175, 105, 0, 0, b'')",
    "swap": "syscall(167, 224, b'/nothing', 0)",
    "the host's name": "import socket; socket.sethostname('x')",
    "reboot": "syscall(169, 142, 0, 0, 0, 0)",
    "become root": "os.setuid(0)",
    "become root's group": "os.setresgid(0, 0, 0)",
    "take powers": "syscall(126, 91, 0, 0)",
    "shared memory by number": "syscall(29, 194, 1, 4096, 0o1600)",
    "messages by number": "syscall(68, 186, 1, 0o1600)",
    "confine itself less": "import resource; resource.setrlimit(resource.RLIMIT_CORE, (1, 1))",
    "a larger file than allowed": (
        "d = os.open(scratch + '/large', os.O_CREAT | os.O_WRONLY, 0o600)\n"
        "os.pwrite(d, b'x', 9 * 1024**3)"
    ),
}
# Python says ValueError where the kernel says EPERM.
_NOT_AN_ERRNO = {"confine itself less"}
# Landlock says EXDEV of a link that would give a file more rights.
_OTHER_ERRNO = {"a larger file than allowed": {"EFBIG"}, "link in": {"EXDEV"}}
EXPECTED = {"EACCES", "EPERM"}


@pytest.mark.parametrize("what", [*FILES, *PROCESSES, *NETWORK, *KERNEL])
def test_refused(confined: Probe, what: str) -> None:
    """The kernel refuses it, and does not only fail at it."""
    code = {**FILES, **PROCESSES, **NETWORK, **KERNEL}[what]
    if what in _NOT_AN_ERRNO:
        reply = confined.ask(code=code, names=confined.names)
        assert "not allowed to raise" in reply.get("error", "")
        return
    assert confined.refusal(code) in _OTHER_ERRNO.get(what, EXPECTED)


@pytest.mark.parametrize("what", [*FILES, *PROCESSES, *NETWORK, *KERNEL])
def test_the_same_code_is_not_refused_by_mistake(what: str) -> None:
    """Every code is Python that compiles: what is refused is the deed, not a slip of the test."""
    compile({**FILES, **PROCESSES, **NETWORK, **KERNEL}[what], what, "exec")


def test_outside_is_as_it_was(confined: Probe, host: Host) -> None:
    """After all of the above, which run before this one, in this file's order."""
    assert host.canary.read_text() == SECRET
    assert (host.neighbour / "blob").read_text() == SECRET
    assert sorted(path.name for path in host.open_folder.iterdir()) == ["canary", "socket"]
    assert host.victim.poll() is None
    host.listener.settimeout(0.2)
    with pytest.raises(TimeoutError):
        host.listener.accept()


def test_old_numbers_of_another_architecture_end_the_process(start: object) -> None:
    """Not tried in the shared probe, since it ends it."""
    probe = start()  # type: ignore[operator]
    if not probe.run("import platform; answer = platform.machine() == 'x86_64'"):
        pytest.skip("only x86_64 has a second set of calls with a bit in their number")
    assert probe.refusal("syscall(39 | 0x40000000, 0)") == "ENOSYS"
