"""A real Redis server for tests, without persistence, that can be killed and started again. Knows nothing of Fovea."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require

START_S = 30.0


class RedisServer:
    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        self._process = subprocess.Popen(
            ["redis-server", *address, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
        )
        give_up_s = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, "redis-server ended"
                assert time.monotonic() < give_up_s, "redis-server does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL: with no persistence, everything is forgotten."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def set_right(self) -> None:
        """It runs and answers, whatever a test before has left of it."""
        if self._process is None or self._process.poll() is not None:
            self.start()
        else:
            self.resume()

    def pause(self) -> None:
        """It takes what is sent, and answers once it is resumed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    require(shutil.which("redis-server") is not None, "redis-server (Debian package `redis-server`)")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fovea-redis-") as folder:
        server = RedisServer(Path(folder), port)
        server.start()
        try:
            yield server
        finally:
            server.kill()
