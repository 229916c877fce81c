"""Small files that are costly to decode, over HTTP: refused or delayed with their price, while others are answered."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clips import cached_clip, write_bomb
from tests.serving import Served, serving


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("bomb") / "bomb.mp4"
    return write_bomb(path, frames=150).read_bytes()  # about 6 s at the rate that is assumed at first


def good() -> bytes:
    return cached_clip("good.mp4").read_bytes()


def test_a_video_that_cannot_be_decoded_in_time_is_refused_with_its_price_and_the_way_out(bomb: bytes) -> None:
    with serving(decode_timeout_s=1.0) as served:
        refused = served.post(bomb)
        problem = refused.json()
        assert (refused.status_code, problem["type"]) == (422, "/problems/video-limit-exceeded")
        assert problem["decode_gpixels"] > 1
        assert problem["decode_s"] > problem["limit_s"] == 3
        assert "send a shorter part, at a lower resolution or with more keyframes" in problem["detail"]
        served.wait_for_metric(1, "fovea_decode_estimate_seconds_count")
        assert served.metric("fovea_decode_estimate_seconds_sum") == pytest.approx(problem["decode_s"], abs=0.01)


def stop_who_decodes_a_bomb(served: Served) -> int:
    give_up_s = time.monotonic() + 30
    sandbox = served.app.state.pipeline._decoding._sandbox
    while True:
        assert time.monotonic() < give_up_s, "no child took it up"
        if served.metric("fovea_costly_decode_seconds") > 0:
            busy = [child.pid for child in sandbox._children if child.is_busy]
            if busy:
                os.kill(busy[0], signal.SIGSTOP)
                return int(busy[0])
        time.sleep(0.001)


def test_while_one_bomb_is_decoded_good_videos_are_answered_and_more_bombs_refused_with_their_price(
    bomb: bytes,
) -> None:
    with (
        serving(decode_children=2, decode_timeout_s=60.0, max_costly_decode_s=5.0) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(served.post, bomb)
        stopped = stop_who_decodes_a_bomb(served)
        try:
            refused = served.post(bomb)
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/overloaded")
            assert int(refused.headers["retry-after"]) >= 5  # what the first one was estimated to take
            assert refused.json()["decode_gpixels"] > 1
            assert [served.post(good()).status_code for _ in range(3)] == [200] * 3
        finally:
            os.kill(stopped, signal.SIGCONT)
        answered = first.result()
        assert answered.status_code == 200
        assert answered.json()["video"]["decode_gpixels"] == refused.json()["decode_gpixels"]
        served.wait_for_metric(0, "fovea_costly_decode_seconds")
