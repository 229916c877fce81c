"""`fovea demo-camera`: a camera to try streams with, for users rather than for tests."""

import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from cli.demo import server
from cli.demo.command import demo_camera
from tests.clips import cached_clip, solid
from tests.conftest import require

RED = "red-for-the-demo.mp4"


@contextmanager
def playing(clip: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "cli.main", "demo-camera", str(clip), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.camera
def test_it_plays_a_clip_at_the_address_that_it_prints() -> None:
    require(server.is_available(), server.NEEDED)
    with playing(cached_clip(RED, pattern=solid(220, 20, 20), seconds=2, size=(64, 48))) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"{RED} plays at rtsp://127.0.0.1:")
        url = line.split()[3]
        with av.open(url, options={"rtsp_transport": "tcp"}, timeout=30) as camera:
            frames = list(itertools.islice(camera.decode(video=0), 60))
        assert len(frames) == 60, "two seconds of 25 pictures, and on from the start"
        red, green, _ = frames[0].to_ndarray(format="rgb24")[24, 32]
        assert red > 150
        assert green < 80
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def test_without_gstreamer_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "SYSTEM_PYTHON", str(tmp_path / "python3"))
    server.is_available.cache_clear()
    with pytest.raises(ValueError, match=r"needs GStreamer's RTSP server.*apt-get install python3-gi gir1\.2-gst-rtsp"):
        demo_camera(tmp_path / "clip.mp4")
    server.is_available.cache_clear()


@pytest.mark.camera
def test_what_is_no_video_is_told_in_a_sentence(tmp_path: Path) -> None:
    require(server.is_available(), server.NEEDED)
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"notes\.mp4 cannot be played: .*; give a video that other players show"):
        demo_camera(tmp_path / "notes.mp4", port=0)


@pytest.mark.camera
def test_a_taken_port_is_told_in_a_sentence() -> None:
    require(server.is_available(), server.NEEDED)
    clip = cached_clip(RED, pattern=solid(220, 20, 20), seconds=2, size=(64, 48))
    with playing(clip) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[3].split(":")[2].split("/")[0])
        with pytest.raises(ValueError, match=f"did not start at 127.0.0.1:{port} .* choose another --port"):
            demo_camera(clip, port=port)
