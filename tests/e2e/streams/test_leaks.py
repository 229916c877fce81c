"""Cameras that come and go leave nothing behind, and their followers miss nothing."""

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from benchmarks.streams_soak import flapping_cameras, soak
from tests.cameras import camera
from tests.serving import serving
from tests.streaming import following, subscribe

from .conftest import FPS, LOOPBACK, footage

FLAPS = 100
SOAK_S, FLAP_EVERY_S = 36.0, 5.4

pytestmark = pytest.mark.timeout(300)


def kept() -> tuple[int, int, int]:
    """(files, threads, processes) of this process and of its children."""
    this = psutil.Process(os.getpid())
    children = this.children(recursive=True)
    return this.num_fds() + sum(child.num_fds() for child in children), threading.active_count(), len(children)


def test_a_hundred_quick_flaps_leave_no_thread_file_process_or_memory_behind() -> None:
    with (
        camera(footage(gop=4, name="flaps.mp4"), fps=FPS) as cam,
        serving(stream_allowed_networks=LOOPBACK, stream_backoff_cap_s=0.05) as service,
    ):
        stream = subscribe(service.client, cam.url(), stride_s=2.0)
        with following(service.client, stream, "0-0") as follower:
            for flap in range(FLAPS + 1):
                follower.wait_for_state("live")
                if flap == FLAPS // 5:  # everything that is made once has been made
                    (child,) = [one for one in psutil.Process().children() if "camera_child" in " ".join(one.cmdline())]
                    before, before_bytes = kept(), child.memory_info().rss
                if flap < FLAPS:
                    cam.tell("kick")
                    follower.wait_for_state("reconnecting")
            after = kept()
            assert after[0] <= before[0] + 2  # a socket may just be opening
            assert after[1] <= before[1] + 1
            assert after[2] == before[2]
            assert child.memory_info().rss - before_bytes < 8 * 2**20
            assert child.is_running()  # the same process, all the time
        assert service.client.delete(f"/v1/streams/{stream}").status_code == 204
        give_up_s = time.monotonic() + 30
        while child.is_running():
            assert time.monotonic() < give_up_s, "a deleted stream's process lives on"
            time.sleep(0.05)


def test_flapping_cameras_lose_and_double_no_event_between_reconnects(tmp_path: Path) -> None:
    """Half a minute of what `benchmarks.streams_soak` does for an hour."""
    with flapping_cameras(3, tmp_path) as cams, serving(stream_allowed_networks=LOOPBACK) as service:
        report = soak(service.client, psutil.Process(), cams, seconds=SOAK_S, flap_every_s=FLAP_EVERY_S)
    assert report.flaps >= 15
    assert report.results >= 3 * SOAK_S / 10  # few, should the machine be busy
    assert report.interrupted == 0
    assert report.lost == []
    assert report.disordered == []
    assert abs(report.growth("children")) <= 1
    assert report.growth("fds") <= 8
    assert report.growth("threads") <= 8
    assert report.growth("rss_mib") < 100
