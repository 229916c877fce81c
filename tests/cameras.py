"""Cameras for tests: the demo camera's server, and what happens to cameras. Knows nothing of the service."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.demo.server import is_available, start
from tests.conftest import require

NEEDED = "gst-rtsp-server with its Python bindings (scripts/system-packages.txt lists the Debian packages)"


class Camera:
    """One RTSP server process; what it plays at `/cam`."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, port: int, config: dict[str, Any]) -> None:
        self.process = process
        self.address = address
        self.port = port
        self.config = config

    def url(self, *, path: str = "/cam", credentials: str = "", scheme: str = "rtsp") -> str:
        return f"{scheme}://{credentials + '@' if credentials else ''}{self.address}:{self.port}{path}"

    def tell(self, command: str) -> None:
        """stall, resume, kick or next."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def restart(self, **changes: Any) -> None:
        """Start again on the same port, as configured but for `changes`."""
        if self.process.returncode is None:
            self.kill()
        self.config = self.config | changes
        self.process, _ = start(self.config | {"port": self.port})


@contextmanager
def camera(*files: Path, prefix: Sequence[str] = (), **config: Any) -> Iterator[Camera]:
    """A camera at `/cam` that plays `files`' first in a loop (`next` goes on to the next one).

    `prefix`: what to start it with, such as `ip netns exec NAME`. `config`: see `cli/demo/rtsp_server.py`.
    """
    require(is_available(), NEEDED)
    mounts = {"/cam": [str(file) for file in files]} | config.pop("mounts", {})
    config = {"address": "127.0.0.1", "port": 0, "mounts": mounts} | config
    process, port = start(config, prefix)
    playing = Camera(process, config["address"], port, config)
    try:
        yield playing
    finally:
        if playing.process.returncode is None:
            playing.kill()
