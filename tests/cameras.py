"""Cameras for tests: starts `rtsp_server.py` and does to it what happens to cameras. Knows nothing of the service."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import require

PROGRAM = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's python3-gi is for
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
START_S = 60.0  # the first start of all looks through GStreamer's plugins


def require_cameras() -> None:
    """Go on where an RTSP server can be started; else skip, or fail under FOVEA_STRICT_TESTS=1."""
    available = (
        shutil.which(SYSTEM_PYTHON) is not None
        and subprocess.run([SYSTEM_PYTHON, "-c", BINDINGS], capture_output=True, check=False).returncode == 0
    )
    require(available, "gst-rtsp-server with its Python bindings (Debian package gir1.2-gst-rtsp-server-1.0)")


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
        self.process, _ = _start(self.config | {"port": self.port}, ())


@contextmanager
def camera(*files: Path, prefix: Sequence[str] = (), **config: Any) -> Iterator[Camera]:
    """A camera at `/cam` that plays `files`' first in a loop (`next` goes on to the next one).

    `prefix`: what to start it with, such as `ip netns exec NAME`. `config`: see `rtsp_server.py`.
    """
    require_cameras()
    mounts = {"/cam": [str(file) for file in files]} | config.pop("mounts", {})
    config = {"address": "127.0.0.1", "port": 0, "mounts": mounts} | config
    process, port = _start(config, prefix)
    playing = Camera(process, config["address"], port, config)
    try:
        yield playing
    finally:
        if playing.process.returncode is None:
            playing.kill()


def _start(config: dict[str, Any], prefix: Sequence[str]) -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [*prefix, SYSTEM_PYTHON, str(PROGRAM), json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the RTSP server did not start: exit status {process.wait()}"
    return process, int(json.loads(line)["port"])
