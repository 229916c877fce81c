"""Cameras for tests: starts `rtsp_server.py` and does to it what happens to cameras. Knows nothing of the service.

`python -m tests.cameras [VIDEO]` plays a video, or a moving square, in a loop at rtsp://127.0.0.1:8554/cam.
"""

import functools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av

from tests.clips import write_clip
from tests.conftest import require

PROGRAM = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's python3-gi is for
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
NEEDED = "gst-rtsp-server with its Python bindings (scripts/system-packages.txt lists the Debian packages)"


@functools.cache
def cameras_are_available() -> bool:
    """Whether an RTSP server can be started here."""
    return (
        shutil.which(SYSTEM_PYTHON) is not None
        and subprocess.run([SYSTEM_PYTHON, "-c", BINDINGS], capture_output=True, check=False).returncode == 0
    )


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
    require(cameras_are_available(), NEEDED)
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


def playable(video: Path, folder: Path) -> tuple[Path, float]:
    """The video as cameras send it (H.264, a keyframe a second, no B-frames), and its pictures a second."""
    made = folder / "camera.mp4"
    with av.open(str(video)) as source, av.open(str(made), "w") as output:
        rate = source.streams.video[0].average_rate or 25
        stream = output.add_stream("libx264", rate=rate, options={"bf": "0", "tune": "zerolatency"})
        stream.codec_context.gop_size = round(rate)
        for number, frame in enumerate(source.decode(video=0)):
            if number == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p"
            picture = frame.reformat(stream.width, stream.height, "yuv420p")
            picture.pts, picture.time_base = number, 1 / rate
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return made, float(rate)


def main(arguments: list[str]) -> None:
    if not cameras_are_available():
        sys.exit(f"this needs {NEEDED}; `make test ARGS=tests/unit/test_repository.py` installs them where it may")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = Path(arguments[0]) if arguments else write_clip(folder / "square.mp4", seconds=16, size=(640, 360))
        file, rate = playable(video, folder)
        with camera(file, port=8554, fps=rate) as cam:
            print(f"{video.name} plays at {cam.url()} until Ctrl-C", flush=True)
            with suppress(KeyboardInterrupt):
                cam.process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
