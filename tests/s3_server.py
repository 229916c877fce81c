"""A real S3-compatible server for tests, moto's, in a process of its own. Knows nothing of Fovea.

scripts/install.sh puts it into an environment of its own, `moto` in ours: it wants older packages than we do.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import require

START_S = 60.0
BUCKET = "fovea-test"


@dataclass(frozen=True)
class S3Server:
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Of a folder in its one bucket."""
        return f"s3://{BUCKET}/jobs"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def put(self, key: str, content: bytes) -> None:
        """An object in its one bucket."""
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False) as client:
            client.put(f"/{BUCKET}/{key}", content=content).raise_for_status()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def s3_server() -> Iterator[S3Server]:
    program = Path(sys.prefix) / "moto" / "bin" / "moto_server"
    require(program.exists(), "moto_server (make .venv/.dev)")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [program, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = S3Server(port, process)
    try:
        give_up_s = time.monotonic() + START_S
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while True:
                try:
                    client.put(f"/{BUCKET}").raise_for_status()
                    break
                except httpx.TransportError:
                    assert process.poll() is None, "moto_server ended"
                    assert time.monotonic() < give_up_s, "moto_server does not listen"
                    time.sleep(0.05)
        yield server
    finally:
        server.kill()
