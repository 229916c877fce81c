"""HAProxy in front of replicas, round robin, for tests: servers are drained and brought back as a cluster does it."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require

CONFIG = """
global
  stats socket {socket} level admin
defaults
  mode http
  balance roundrobin
  option redispatch 1
  retries 3
  timeout connect 2s
  timeout check 2s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  option httpchk GET /readyz
  default-server check inter 200ms fall 3 rise 1
{servers}
"""


class Balancer:
    """A connection that is refused is tried with another server; what a server has answered is passed on as it is."""

    def __init__(self, port: int, admin: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._admin = admin

    def drain(self, number: int) -> None:
        """No new request goes to that replica; those that it has go on."""
        self._say(f"set server replicas/r{number} state drain")

    def take_back(self, number: int) -> None:
        self._say(f"set server replicas/r{number} state ready")

    def num_sessions(self, number: int) -> int:
        """Requests that the replica has now."""
        return int(self._stat(number, "scur"))

    def wait_until_up(self, number: int) -> None:
        give_up_s = time.monotonic() + 60
        while not self._stat(number, "status").startswith("UP"):
            assert time.monotonic() < give_up_s, f"replica {number} is {self._stat(number, 'status')}"
            time.sleep(0.02)

    def _stat(self, number: int, name: str) -> str:
        head, *rows = self._say("show stat").lstrip("# ").splitlines()
        names = head.split(",")
        (row,) = [one.split(",") for one in rows if one.startswith(f"replicas,r{number},")]
        return row[names.index(name)]

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._admin))
            connection.sendall(f"{command}\n".encode())
            said = b""
            while chunk := connection.recv(65536):
                said += chunk
        return said.decode()


@contextmanager
def balancing(ports: Sequence[int]) -> Iterator[Balancer]:
    """Before the replicas of those ports, which need not be there yet."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
    require(program is not None, "haproxy (Debian package `haproxy`)")
    assert program is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fovea-balancer-") as folder:
        admin, config = Path(folder) / "admin", Path(folder) / "haproxy.cfg"
        servers = "\n".join(f"  server r{number} 127.0.0.1:{one}" for number, one in enumerate(ports))
        config.write_text(CONFIG.format(socket=admin, port=port, servers=servers))
        process = subprocess.Popen([program, "-db", "-q", "-f", str(config)], stderr=subprocess.DEVNULL)
        try:
            give_up_s = time.monotonic() + 30
            while not _listens(port):
                assert process.poll() is None, "haproxy ended"
                assert time.monotonic() < give_up_s
                time.sleep(0.02)
            yield Balancer(port, admin)
        finally:
            process.terminate()
            process.wait(30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False
