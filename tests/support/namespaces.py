"""Network namespaces for tests: one by itself, or two with a cable between them. Everything in them is ours."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.doctor.egress.gate import Gate
from kilo_review.doctor.egress.watch import LAUNCHER, MODULE
from tests.conftest import absent, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

REVIEWER = "10.231.77.1"
DECOY = "10.231.77.2"
HARDWARE = {"reviewer": "02:00:00:00:77:01", "decoy": "02:00:00:00:77:02"}
ALONE = """\
ip link set lo up
echo 0 > /proc/sys/user/max_net_namespaces
exec "$@"
"""


def permitted() -> None:
    """Skip the test where the kernel permits no network namespace; a failure in CI."""
    with Gate() as gate:
        door = gate.inner.fileno()
        subprocess.run([*MODULE, LAUNCHER, str(door), sys.executable, "-c", ""], pass_fds=[door])
    if gate.refusal or sys.platform != "linux":
        absent(f"no network namespace: {gate.refusal or sys.platform}")


def where_no_further_one_is_permitted() -> list[str]:
    """Words before a command by which it runs with a loopback of its own, and is permitted no further namespace."""
    return [
        needs("unshare"),
        "--user",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        f"{needs('ip')} -V >&2 && {ALONE}",
        "sh",
    ]


class Network(NamedTuple):
    """Two network namespaces, joined by a cable: in one the review runs, in the other a decoy may listen.

    Attributes:
        here: the name of the reviewer's. All that is not loopback is routed to the other one.
        there: the name of the decoy's.
        cable: the name of the decoy's end.
    """

    here: str
    there: str
    cable: str

    def arrived(self) -> int:
        """Packets that have come out of the cable at the decoy's end, of whatever kind."""
        with inside(self.there):
            rows = Path("/proc/thread-self/net/dev").read_text().splitlines()
        (row,) = [row for row in rows if row.strip().startswith(f"{self.cable}:")]
        return int(row.partition(":")[2].split()[1])


@contextmanager
def network() -> Iterator[Network]:
    """Make both, and take them away again."""
    ip = needs("ip")
    if os.geteuid() != 0:
        absent("only root may join network namespaces by a cable")
    made = Network(f"kilo{os.getpid()}a", f"kilo{os.getpid()}b", "decoy")

    def run(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True)

    with ExitStack() as stack:
        for name in (made.here, made.there):
            run("netns", "add", name)
            stack.callback(run, "netns", "delete", name)
        run("-n", made.here, "link", "add", "reviewer", "type", "veth", "peer", "name", made.cable, "netns", made.there)
        for name, end, address in ((made.here, "reviewer", REVIEWER), (made.there, made.cable, DECOY)):
            run("-n", name, "link", "set", end, "address", HARDWARE[end])
            with inside(name):  # IPv6 would chatter by itself
                quiet = Path("/proc/sys/net/ipv6/conf") / end / "disable_ipv6"
                if quiet.exists():
                    quiet.write_text("1")
            run("-n", name, "address", "add", f"{address}/30", "dev", end)
            run("-n", name, "link", "set", "lo", "up")
            run("-n", name, "link", "set", end, "up")
        # Else each side would ask now and then whether the other one is still there.
        for name, end, address in ((made.here, "reviewer", DECOY), (made.there, made.cable, REVIEWER)):
            other = made.cable if name == made.here else "reviewer"
            run("-n", name, "neighbour", "add", address, "lladdr", HARDWARE[other], "dev", end, "nud", "permanent")
        run("-n", made.here, "route", "add", "default", "via", DECOY)
        yield made


@contextmanager
def inside(name: str) -> Iterator[None]:
    """This thread, and all that it starts and opens, is in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    with Path("/proc/thread-self/ns/net").open() as back, (Path("/run/netns") / name).open() as target:
        enter(target.fileno())
        try:
            yield
        finally:
            enter(back.fileno())


def with_files(**files: Path) -> list[str]:
    """Words before a command by which it sees other files in /etc: `hosts`, `resolv__conf`."""
    script = "".join(f'mount --bind "$1" /etc/{name.replace("__", ".")}; shift\n' for name in files)
    unshare = shutil.which("unshare") or needs("unshare")
    return [unshare, "--mount", "sh", "-ec", f'{script}exec "$@"', "sh", *map(str, files.values())]
