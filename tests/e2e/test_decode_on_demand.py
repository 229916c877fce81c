"""Over HTTP: what a video is decoded for, step by step, and what happens when its later frames cannot be had.

The recognizer looks at frames 0 and 4 of 8 first, then at 1 to 3, then at 5 to 7 (`tests.tiny.ChoosyRecognizer`).
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.clips import cached_clip, frozen, solid
from tests.packets import broken_but
from tests.serving import Served, serving
from tests.tiny import ChoosyRecognizer, tiny_model

# 4 s, half a second from sample to sample, a keyframe a second: those at 0 and 2 s stand in for the glance's frames
PHONE = {"seconds": 4.0, "gop": 25, "options": frozen(x264_params="keyint=25:scenecut=0:bframes=0")}


@pytest.fixture(scope="module")
def video() -> Path:
    return cached_clip("phone-red.mp4", pattern=solid(220, 20, 20), **PHONE)


@contextmanager
def choosy(
    before: Callable[[str], None] = lambda kind: None, *, sure: bool = False, **settings: object
) -> Iterator[Served]:
    model = tiny_model(ChoosyRecognizer(before), thresholds=(1.0, -1.0) if sure else (0.0, -1.0))
    with serving(models=[model], keyframe_tolerance=0.6, **settings) as served:
        yield served


def pids(served: Served) -> list[int]:
    found: list[int] = served.app.state.pipeline._decoding._sandbox.pids
    return found


def test_a_sure_glance_decodes_its_frames_alone(video: Path) -> None:
    with choosy(sure=True) as served:
        answer = served.post(video.read_bytes()).json()
    assert answer["exit"]["reason"] == "confident"
    assert answer["predictions"][0]["label"] == "red"
    assert answer["video"]["frames_decoded"] == answer["video"]["frames_sampled"] == 2
    assert [step["frames_decoded"] for step in answer["compute"]["steps"]] == [2]
    assert answer["timing_ms"]["decode_steps"] == [answer["timing_ms"]["decode"]]


def test_without_tolerance_the_glance_sees_the_frames_of_a_whole_decode_and_costs_less_than_half(video: Path) -> None:
    model = tiny_model(ChoosyRecognizer(), thresholds=(1.0, -1.0))
    with serving(models=[model]) as served, choosy(sure=True, decode_on_demand=False) as at_once:
        answer, whole = (one.post(video.read_bytes()).json() for one in (served, at_once))
    assert answer["compute"]["steps"][0]["entropy_nats"] == whole["compute"]["steps"][0]["entropy_nats"]
    assert 2 < answer["video"]["frames_decoded"] <= whole["video"]["frames_decoded"] / 2


def test_further_steps_tell_what_was_decoded_for_them_and_when(video: Path) -> None:
    with choosy() as served:
        answer = served.post(video.read_bytes()).json()
        told = {kind: served.metric("fovea_frames_decoded_total", kind=kind) for kind in ("glance", "focus")}
    steps = answer["compute"]["steps"]
    assert answer["exit"]["reason"] == "exhausted"
    assert [step["top"]["label"] for step in steps] == ["red"] * 3, "none of them looked at black frames"
    frames = [step["frames_decoded"] for step in steps]
    assert frames[0] == 2
    assert all(count > 0 for count in frames)
    assert sum(frames) == answer["video"]["frames_decoded"]
    assert told == {"glance": frames[0], "focus": sum(frames[1:])}
    timing = answer["timing_ms"]
    assert len(timing["decode_steps"]) == 3
    assert sum(timing["decode_steps"]) == pytest.approx(timing["decode"], abs=0.01)
    assert sum(timing[part] for part in ("upload", "decode", "queue", "inference")) <= timing["total"] + 1


def test_cubes_lie_at_the_times_of_their_exact_frames(video: Path) -> None:
    with choosy() as served, choosy(decode_on_demand=False) as at_once:
        places = [
            [step.get("cube") for step in one.post(video.read_bytes()).json()["compute"]["steps"]]
            for one in (served, at_once)
        ]
    assert places[0] == places[1]


def test_where_it_is_switched_off_all_frames_are_decoded_for_the_glance(video: Path) -> None:
    with choosy(decode_on_demand=False) as served:
        answer = served.post(video.read_bytes()).json()
    frames = [step["frames_decoded"] for step in answer["compute"]["steps"]]
    assert frames == [answer["video"]["frames_decoded"], 0, 0]
    assert answer["video"]["frames_sampled"] == 8


def test_later_groups_that_are_broken_cost_no_answer_and_are_told(video: Path, tmp_path: Path) -> None:
    broken = broken_but(video, tmp_path / "broken.mp4", kept={0, 50})
    with choosy() as served:
        answer = served.post(broken.read_bytes())
        assert served.post(video.read_bytes()).json()["exit"]["reason"] == "exhausted"
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["exit"]["reason"] == "undecoded"
    assert "can be decoded, the video is damaged" in body["exit"]["detail"]
    assert body["predictions"][0]["label"] == "red"
    assert [step["kind"] for step in body["compute"]["steps"]] == ["glance"]


def test_a_child_that_dies_between_steps_costs_nothing(video: Path) -> None:
    def kill_them(kind: str) -> None:
        if kind == "glance":
            for pid in pids(served):
                os.kill(pid, signal.SIGKILL)

    with choosy(kill_them) as served:
        answer = served.post(video.read_bytes()).json()
    assert answer["exit"]["reason"] == "exhausted"


@contextmanager
def stuck_after_the_glance(tmp_path: Path, **settings: object) -> Iterator[Served]:
    """No frame comes after the glance: the decoding child is stopped."""
    stopped: list[int] = []

    def stop_it(kind: str) -> None:
        if kind == "glance" and not stopped:
            stopped.extend(pids(served))
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)

    with choosy(stop_it, spool_dir=tmp_path, **settings) as served:
        yield served


def test_a_deadline_holds_while_frames_do_not_come(video: Path, tmp_path: Path) -> None:
    with stuck_after_the_glance(tmp_path) as served:
        answer = served.post(video.read_bytes(), "?deadline_ms=3000").json()
        assert answer["exit"]["reason"] == "deadline"
        assert len(answer["compute"]["steps"]) == 1
        served.wait_for_metric(0, "fovea_decode_places_used")
        assert served.post(video.read_bytes()).json()["exit"]["reason"] == "exhausted", "others are served"
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_between_steps_leaves_nothing_behind(video: Path, tmp_path: Path) -> None:
    with stuck_after_the_glance(tmp_path) as served:
        headers = {"Content-Type": "video/mp4", "Accept": "text/event-stream"}
        with served.client.stream("POST", "/v1/recognitions", content=video.read_bytes(), headers=headers) as response:
            lines = response.iter_lines()  # held: to forget it is to hang up
            assert next(line for line in lines if line.startswith("event: ")) == "event: step"
            served.wait_for_metric(1, "fovea_requests_awaiting_frames")
            assert served.metric("fovea_decode_places_used") == 1
        for name in ("fovea_requests_awaiting_frames", "fovea_requests_waiting", "fovea_decode_places_used"):
            served.wait_for_metric(0, name)
        served.wait_for_metric(0, "fovea_reserved_flops")
        assert served.post(video.read_bytes()).json()["exit"]["reason"] == "exhausted", "others are served"
        give_up_s = time.monotonic() + 10
        while list(tmp_path.iterdir()):
            assert time.monotonic() < give_up_s, "its upload stayed"
            time.sleep(0.01)


def test_frames_that_take_too_long_end_with_the_glance_s_answer(video: Path, tmp_path: Path) -> None:
    with stuck_after_the_glance(tmp_path, decode_timeout_s=1.0) as served:
        answer: httpx.Response = served.post(video.read_bytes())
    assert answer.json()["exit"]["reason"] == "undecoded"
    assert "decoding was ended after 1 s" in answer.json()["exit"]["detail"]


@pytest.mark.parametrize("on_demand", [True, False])
def test_a_ceiling_that_pays_for_the_glance_decodes_its_frames_alone(video: Path, *, on_demand: bool) -> None:
    with choosy(decode_on_demand=on_demand) as served:
        whole = served.post(video.read_bytes()).json()
        answer = served.post(video.read_bytes(), "?max_gflops=0.1").json()
    assert answer["exit"]["reason"] == "ceiling"
    assert answer["video"]["frames_sampled"] == 2
    assert answer["video"]["frames_decoded"] < whole["video"]["frames_decoded"]
    assert answer["compute"]["steps"][0]["entropy_nats"] == whole["compute"]["steps"][0]["entropy_nats"]
