"""A cable that can be pulled: a network namespace behind a pair of virtual interfaces. Knows no camera."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import require


@dataclass(frozen=True)
class Cable:
    """`address` is the far end's; what runs there is started behind `prefix`."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        _run("ip", "-n", self.name, "link", "set", "far", "down")

    def plug_in(self) -> None:
        _run("ip", "-n", self.name, "link", "set", "far", "up")

    def lose(self, share: float) -> None:
        """That share of the datagrams that the far end sends."""
        rule = ("-p", "udp", "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")
        _run(*self.prefix, "iptables", "-A", "OUTPUT", *rule)


@contextmanager
def cable() -> Iterator[Cable]:
    allowed = os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("iptables") is not None
    require(allowed, "root, ip and iptables (Debian packages `iproute2`, `iptables`), for a network of one's own")
    number = os.getpid() % 60000
    name, near = f"fovea{number}", f"fov{number}"
    network = f"10.251.{number // 250}.{number % 250 // 4 * 4}"
    base, last = network.rsplit(".", 1)
    ours, theirs = f"{base}.{int(last) + 1}", f"{base}.{int(last) + 2}"
    try:
        _run("ip", "netns", "add", name)
    except subprocess.CalledProcessError:
        require(False, "a kernel that lets network namespaces be made")
    try:
        _run("ip", "link", "add", near, "type", "veth", "peer", "name", "far", "netns", name)
        _run("ip", "address", "add", f"{ours}/30", "dev", near)
        _run("ip", "link", "set", near, "up")
        _run("ip", "-n", name, "address", "add", f"{theirs}/30", "dev", "far")
        _run("ip", "-n", name, "link", "set", "far", "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        yield Cable(name, theirs)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", near], check=False, capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
