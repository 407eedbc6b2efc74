"""A network namespace that holds nothing but loopback; Linux. What runs in it can reach nobody else, whatever it is.

Run as `python -P -m kilo_review.doctor.egress.namespace GATE COMMAND...`: enters a new one, tells so through the gate
(a socket by its file descriptor), and becomes the command. With the news go open files of the kernel's counters for
that namespace: whoever holds them can read them to the end, also when nobody is left inside.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
UP = 0x1
PR_CAPBSET_DROP = 24
WAYS_OUT = (12, 16, 19, 21)
"""CAP_NET_ADMIN, CAP_SYS_MODULE, CAP_SYS_PTRACE, CAP_SYS_ADMIN: with these, root could leave a namespace."""
COUNTERS = ("/proc/self/net/snmp", "/proc/self/net/snmp6")
ENTERED, REFUSED = "entered", "refused"
NOT_ENTERED = 71
"""The exit code where the kernel does not permit it."""


def enter() -> None:
    """Move this process into a new network namespace, and bring loopback up there.

    Raises:
        OSError: the kernel does not permit it; the process may be half-way, and is good for nothing more.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        _unshare(CLONE_NEWNET)
    except OSError:  # not root: then within a user namespace, in which we are who we were
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _bring_loopback_up()
    _allow_low_ports()
    _stay_inside()


def _unshare(flags: int) -> None:
    import ctypes  # noqa: PLC0415  some interpreters lack it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _bring_loopback_up() -> None:
    import fcntl  # noqa: PLC0415  not everywhere

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14x", b"lo", 0)
        name, flags = struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags | UP))


def _allow_low_ports() -> None:
    """A server outside may have port 80, and whoever stands in for it in here is not root."""
    try:
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", encoding="ascii")
    except OSError:
        return  # /proc is read-only here; then such a server cannot be reached, and the review says so


def _stay_inside() -> None:
    """What is started from here on gets no right by which it could leave, not even as root."""
    import ctypes  # noqa: PLC0415

    libc = ctypes.CDLL(None, use_errno=True)
    for right in WAYS_OUT:
        libc.prctl(PR_CAPBSET_DROP, right, 0, 0, 0)


def main() -> None:
    """Enter, tell, and become the command."""
    descriptor, *command = sys.argv[1:]
    with socket.socket(fileno=os.dup(int(descriptor))) as gate:
        try:
            enter()
            files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in COUNTERS if Path(path).exists()]
        except (OSError, ImportError) as error:
            gate.send(f"{REFUSED} {error.strerror if isinstance(error, OSError) else error}".encode())
            sys.exit(NOT_ENTERED)
        socket.send_fds(gate, [ENTERED.encode()], files)
    os.execvp(command[0], command)  # noqa: S606  our own interpreter, or what a test names


if __name__ == "__main__":
    main()
