"""A real Redis server for tests, without persistence: killed, it forgets everything. Knows nothing of Fovea."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require
from tests.server_process import ServerProcess, free_port


class RedisServer(ServerProcess):
    def __init__(self, folder: Path, port: int) -> None:
        address = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        super().__init__(["redis-server", *address, "--save", "", "--appendonly", "no"], port, folder / "log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    require(shutil.which("redis-server") is not None, "redis-server (Debian package `redis-server`)")
    with tempfile.TemporaryDirectory(prefix="fovea-redis-") as folder:
        server = RedisServer(Path(folder), free_port())
        server.start()
        try:
            yield server
        finally:
            server.kill()
