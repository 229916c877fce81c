"""A long video in, when what happens out, over real HTTP."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from fovea import AsyncClient, Client, Overloaded, Segment, TimelineAnswer, TimelineProgress, VideoUnreadable
from tests.clips import moving_square, solid, write_clip
from tests.keys import key_file
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

MP4 = {"Content-Type": "video/mp4"}
FPS = 10
SCENES = ((0.0, "red"), (12.0, "green"), (20.0, "blue"), (23.0, "red"))  # when each begins
COLOURS = {"red": solid(230, 20, 20), "green": solid(20, 230, 20), "blue": solid(20, 20, 230)}
SECONDS = 40.0


def scene(number: int, width: int, height: int) -> NDArray[np.uint8]:
    label = next(label for start_s, label in reversed(SCENES) if number / FPS >= start_s)
    return COLOURS[label](number, width, height)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return write_clip(
        path,
        seconds=SECONDS,
        fps=FPS,
        gop=10,
        size=(160, 128),
        pattern=scene,
        container_options={"movflags": "faststart"},
    )


@pytest.fixture(scope="module")
def busy_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every picture differs: each window has to be looked at."""
    path = tmp_path_factory.mktemp("films") / "busy.mp4"
    return write_clip(path, seconds=SECONDS, fps=FPS, gop=10, size=(160, 128), pattern=moving_square)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(max_timelines=1, max_timeline_s=60.0) as service:
        yield service


def post(served: Served, video: bytes, query: str = "", **headers: str) -> "tuple[int, dict]":
    answer = served.client.post(f"/v1/timelines{query}", content=video, headers=MP4 | headers)
    return answer.status_code, answer.json()


def told(body: dict) -> list[tuple[str | None, float, float]]:
    return [(one["label"], one["start_s"], one["end_s"]) for one in body["segments"]]


def test_segments_say_when_what_happens(served: Served, film: Path) -> None:
    status, body = post(served, film.read_bytes(), "?window_s=2&stride_s=0.5&top_k=1")
    assert status == 200
    assert [label for label, _, _ in told(body)] == ["red", "green", "blue", "red"]
    for (_, start_s, _), (expected_s, _) in zip(told(body), SCENES, strict=True):
        assert start_s == pytest.approx(expected_s, abs=0.6)
    assert told(body)[-1][2] == SECONDS
    assert body["end"] == {"reason": "complete", "at_s": SECONDS, "detail": None}
    assert body["curve"][0]["label"] == "red"
    assert sum(one["spent_gflops"] for one in body["segments"]) == pytest.approx(body["compute"]["spent_gflops"])
    assert (body["window_s"], body["stride_s"]) == (2.0, 0.5)


def test_what_does_not_change_is_carried_on_and_its_frames_are_not_decoded(served: Served, film: Path) -> None:
    _, quick = post(served, film.read_bytes(), "?window_s=2&stride_s=0.5")
    _, whole = post(served, film.read_bytes(), "?window_s=2&stride_s=0.5&decode=all")
    assert [label for label, *_ in told(quick)] == [label for label, *_ in told(whole)]
    assert quick["video"]["frames_decoded"] < 0.4 * whole["video"]["frames_decoded"]
    assert quick["compute"]["windows"]["full"] < 0.3 * whole["compute"]["windows"]["full"]
    windows = quick["compute"]["windows"]
    assert windows["full"] + windows["carried"] + windows["scouted"] + windows["unpaid"] == windows["count"]


def stirs(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Red at rest, but for two seconds from the fifth on."""
    return moving_square(number, width, height) if 50 <= number < 70 else COLOURS["red"](number, width, height)


@pytest.fixture(scope="module")
def stirring_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "stirring.mp4"
    return write_clip(path, seconds=12, fps=FPS, gop=10, size=(160, 128), pattern=stirs)


def spent_where_it_stirs(body: dict) -> list[float]:
    """GFLOPs of the windows of two seconds whose middle lies there, or half a second beside it."""
    windows = [one for one in body["segments"] if 4.5 < (one["start_s"] + one["end_s"]) / 2 < 7.5]
    return [round(one["spent_gflops"], 3) for one in windows]


def test_the_window_that_holds_the_most_of_what_moves_takes_all_steps_and_the_others_glance(
    served: Served, stirring_film: Path
) -> None:
    query = "?window_s=2&stride_s=0.5&merge=false"
    _, body = post(served, stirring_film.read_bytes(), query)
    assert spent_where_it_stirs(body) == [0.1, 0.18, 0.1, 0.1, 0.1]  # a glance costs 0.1 GFLOPs, all steps 0.18


def test_where_there_is_little_credit_it_is_kept_for_the_window_that_decides(
    served: Served, stirring_film: Path
) -> None:
    query = "?window_s=2&stride_s=0.5&merge=false&budget_gflops=0.9"
    _, body = post(served, stirring_film.read_bytes(), query)
    spent = spent_where_it_stirs(body)
    assert spent[:3] == [0.0, 0.18, 0.0]
    assert body["compute"]["spent_gflops"] <= 0.9


def test_credit_that_no_window_will_decide_with_is_spent_on_the_last_one(served: Served, stirring_film: Path) -> None:
    _, body = post(served, stirring_film.read_bytes(), "?window_s=8&stride_s=0.5&budget_gflops=0.1")
    assert body["compute"]["spent_gflops"] == 0.1  # a glance, which is all that it pays for, once the video is over
    assert body["segments"][-1]["predictions"]


def test_what_decides_speaks_for_windows_that_could_not_be_paid_for(served: Served, stirring_film: Path) -> None:
    _, body = post(served, stirring_film.read_bytes(), "?window_s=2&stride_s=0.5&budget_gflops=0.9")
    around = [one for one in body["segments"] if one["start_s"] < 6 < one["end_s"]]
    assert around[0]["label"] is not None
    assert around[0]["windows"] >= 5


@pytest.mark.parametrize("query", ["?budget_gflops=1.5", "?budget_gflops_per_s=0.05", "?budget_gflops=0.2"])
@pytest.mark.parametrize("decode", ["auto", "all", "keyframes"])
def test_a_budget_for_all_is_never_passed(served: Served, film: Path, query: str, decode: str) -> None:
    status, body = post(served, film.read_bytes(), f"{query}&window_s=2&stride_s=1&decode={decode}")
    assert status == 200
    compute = body["compute"]
    most_gflops = compute["budget_gflops"] or compute["budget_gflops_per_s"] * SECONDS
    assert 0 < compute["spent_gflops"] <= most_gflops


def test_a_window_that_scores_too_little_has_no_label(served: Served, film: Path) -> None:
    _, body = post(served, film.read_bytes(), "?window_s=2&stride_s=1&min_score=1.0")
    assert told(body) == [(None, 0.0, SECONDS)]
    assert body["segments"][0]["predictions"] == []


def test_the_curve_scores_the_label_that_it_tells_where_others_may_not_be_told(served: Served, film: Path) -> None:
    _, body = post(served, film.read_bytes(), "?window_s=2&stride_s=1&labels=green")
    assert {one["label"] for one in body["curve"]} == {"green"}
    by_time = {one["time_s"]: one["score"] for one in body["curve"]}
    assert max(score for time_s, score in by_time.items() if time_s < 9) < 0.4, "these windows show red"
    assert max(score for time_s, score in by_time.items() if 14 < time_s < 18) > 0.6


def test_without_merging_every_window_is_told(served: Served, film: Path) -> None:
    _, body = post(served, film.read_bytes(), "?window_s=4&stride_s=4&merge=false")
    assert len(body["segments"]) == body["compute"]["windows"]["count"] == 10


def test_a_window_longer_than_the_video_is_the_video(served: Served, red_video: bytes) -> None:
    status, body = post(served, red_video, "?window_s=30")
    assert status == 200
    assert (told(body), body["window_s"]) == ([("red", 0.0, 1.0)], 1.0)


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("stride_s=0", "stride_s='0': must be a number of seconds above 0"),
        ("window_s=-1", "window_s='-1': must be a number of seconds above 0"),
        ("window_s=nan", "window_s='nan': must be"),
        ("window_s=0.001", "too short for 4 frames; ask for at least 0.04"),
        ("window_s=1000", "ask for at most"),
        ("min_score=2", "min_score='2': must be a number from 0 to 1"),
        ("merge=perhaps", "must be true or false"),
        ("decode=some", "must be one of: auto, all, keyframes"),
        ("windw_s=2", "did you mean 'window_s'?"),
        ("budget_gflops=0.05", "below the 0.1 GFLOPs that the first step"),
        ("budget_gflops_per_s=0.001", "pays for less than the first step"),
        ("window_s=2&window_s=3", "given more than once"),
        ("webhook_url=https://example.com", "is an option of jobs: send `Prefer: respond-async` with it"),
    ],
)
def test_what_cannot_be_is_refused_with_its_rule(served: Served, film: Path, query: str, rule: str) -> None:
    status, body = post(served, film.read_bytes(), f"?{query}")
    assert status == 422
    assert rule in body["detail"]


def test_a_video_longer_than_the_limit_is_refused(served: Served, tmp_path: Path) -> None:
    long = write_clip(tmp_path / "long.mp4", seconds=61, fps=2, size=(64, 64), pattern=scene)
    status, body = post(served, long.read_bytes())
    assert (status, body["type"]) == (422, "/problems/video-limit-exceeded")
    assert "longer than the 60 s" in body["detail"]


def test_a_file_that_breaks_late_is_told_up_to_there(served: Served, film: Path) -> None:
    whole = film.read_bytes()
    status, body = post(served, whole[: len(whole) * 3 // 4], "?window_s=2&stride_s=0.5")
    assert status == 200
    assert body["end"]["reason"] == "broken"
    assert "breaks off or is damaged after" in body["end"]["detail"]
    assert 15 < body["video"]["duration_s"] < 38
    assert [label for label, *_ in told(body)][:2] == ["red", "green"]


@pytest.mark.parametrize(("decode", "least_s"), [("auto", 7.0), ("all", 9.4), ("keyframes", 8.4)])
def test_windows_that_were_decoded_before_one_that_cannot_be_are_told(
    served: Served, tmp_path: Path, decode: str, least_s: float
) -> None:
    """After 10 s pictures are 34 times as wide as high, which is refused. Keyframes are read furthest ahead."""
    how = {"fps": FPS, "gop": 10, "pattern": moving_square}
    good = write_clip(tmp_path / "good.ts", seconds=10, size=(160, 128), **how)
    odd = write_clip(tmp_path / "odd.ts", seconds=10, size=(1088, 32), start_s=10.0, **how)
    query = f"?window_s=4&stride_s=0.5&merge=false&decode={decode}"
    _, body = post(served, good.read_bytes() + odd.read_bytes(), query)
    assert body["end"]["reason"] == "broken"
    assert "longer than 32:1" in body["end"]["detail"]
    ends_s = [one["end_s"] for one in body["segments"]]
    assert ends_s[-1] == body["end"]["at_s"]
    assert least_s < ends_s[-1] + 1.75 < 10.5  # where its last window ends, to half a stride


def test_a_file_of_four_hours_that_breaks_after_three_is_told_for_three(tmp_path: Path) -> None:
    hours = [COLOURS[label] for label in ("red", "green", "blue", "red")]
    film = write_clip(
        tmp_path / "day.mp4",
        seconds=4 * 3600 - 60,  # the limit is four hours
        fps=1,
        gop=30,
        size=(64, 48),
        pattern=lambda number, width, height: hours[number // 3600](number, width, height),
        container_options={"movflags": "faststart"},
    )
    whole = film.read_bytes()
    media = whole.rindex(b"mdat")  # faststart: what tells of all frames comes first, then the frames
    broken = whole[: media + (len(whole) - media) * 3 // 4]
    with serving() as served:
        status, body = post(served, broken, "?window_s=60&stride_s=60")
    assert status == 200, body
    assert body["end"]["reason"] == "broken"
    assert body["end"]["at_s"] == pytest.approx(3 * 3600, abs=900)  # three quarters of the bytes, not of the frames
    assert [label for label, *_ in told(body)][:3] == ["red", "green", "blue"]
    for (_, start_s, _), hour in zip(told(body)[:3], range(3), strict=True):
        assert start_s == pytest.approx(hour * 3600, abs=61)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_what_is_no_video_is_refused_in_whatever_form(served: Served, accept: str) -> None:
    status, body = post(served, b"no video at all", Accept=accept)
    assert (status, body["type"]) == (422, "/problems/video-unreadable")


def test_a_deadline_tells_what_was_found_until_then(busy_film: Path) -> None:
    def slowly(kind: str) -> None:
        time.sleep(0.1)

    with serving(TinyRecognizer(slowly)) as served:
        video, query = busy_film.read_bytes(), "?window_s=1&stride_s=0.1&decode=all"
        status, body = post(served, video, f"{query}&deadline_ms=1")
        assert (status, body["type"]) == (503, "/problems/deadline-before-glance")
        for deadline_ms in (
            2000,
            8000,
            25_000,
        ):  # 391 looks take 39 s at least; a busy machine needs long for the first
            status, body = post(served, video, f"{query}&deadline_ms={deadline_ms}")
            if status == 200:
                break
        assert status == 200
        assert (body["end"]["reason"], body["end"]["detail"]) == ("deadline", f"deadline_ms={deadline_ms} passed")
        assert 0 < body["end"]["at_s"] < SECONDS
        assert told(body)[-1][2] == pytest.approx(body["end"]["at_s"], abs=0.01)


def test_events_tell_segments_as_they_are_found_and_the_answer_last(served: Served, film: Path) -> None:
    with Client(served.url) as client:
        items = list(client.timeline_segments(film, window_s=2, stride_s=0.5, merge=True))
    segments = [item for item in items if isinstance(item, Segment)]
    assert any(isinstance(item, TimelineProgress) for item in items)
    assert isinstance(items[-1], TimelineAnswer)
    assert items[-1].segments == segments
    assert [segment.label for segment in segments] == ["red", "green", "blue", "red"]


async def test_both_clients_give_the_answer_and_raise_what_is_refused(served: Served, film: Path) -> None:
    async with AsyncClient(served.url) as client:
        answer = await client.timeline(film, window_s=2, stride_s=0.5)
        assert [segment.label for segment in answer.segments] == ["red", "green", "blue", "red"]
        with pytest.raises(VideoUnreadable):
            await client.timeline(b"no video at all")


def test_one_more_than_there_are_places_is_told_to_come_again_and_recognitions_go_on(busy_film: Path) -> None:
    def slowly(kind: str) -> None:
        time.sleep(0.05)

    with serving(TinyRecognizer(slowly), max_timelines=1) as served, Client(served.url, retry_for_s=0) as client:
        running = client.timeline_segments(busy_film, window_s=1, stride_s=0.1, decode="all")
        next(running)
        with pytest.raises(Overloaded, match="all 1 places for timelines are taken"):
            client.timeline(busy_film)
        assert served.metric("fovea_timelines_running") == 1
        assert served.post(busy_film.read_bytes()).status_code == 200
        running.close()  # type: ignore[attr-defined]
        served.wait_for_metric(0, "fovea_timelines_running")


def test_a_client_that_leaves_ends_the_work_and_its_process(busy_film: Path) -> None:
    def slowly(kind: str) -> None:
        time.sleep(0.05)

    with serving(TinyRecognizer(slowly)) as served:
        with served.client.stream(
            "POST",
            "/v1/timelines?window_s=1&stride_s=0.1&decode=all",
            content=busy_film.read_bytes(),
            headers=MP4 | {"Accept": "text/event-stream"},
        ) as response:
            lines = response.iter_lines()  # httpx closes the connection with its iterator
            next(lines)
            assert readers()
        served.wait_for_metric(0, "fovea_timelines_running")
        give_up_s = time.monotonic() + 10
        while readers():
            assert time.monotonic() < give_up_s, "its process goes on"
            time.sleep(0.02)
        served.wait_for_metric(1, "fovea_timeline_requests_total", model="tiny", outcome="cancelled")


def readers() -> list[psutil.Process]:
    """The processes that read timelines' files."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # or a zombie
            if "video.children.timeline_child" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_a_process_that_is_killed_costs_its_timeline_alone(film: Path) -> None:
    gate = Gate()
    with serving(TinyRecognizer(gate)) as served, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(post, served, film.read_bytes(), "?window_s=2&stride_s=0.5")
        assert gate.reached.wait(30)
        for process in readers():
            process.kill()
        gate.open()
        status, body = asked.result(30)
        assert (status, body["type"]) == (503, "/problems/unavailable")
        assert "was killed" in body["detail"]
        assert post(served, film.read_bytes(), "?window_s=2&stride_s=0.5")[0] == 200


def test_a_step_is_charged_when_it_is_taken_not_with_its_window(red_video: bytes) -> None:
    """A client that leaves in the middle of a window has spent its steps all the same."""
    gate = Gate("focus")
    with serving(TinyRecognizer(gate)) as served, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(post, served, red_video, "?decode=all")
        try:
            assert gate.reached.wait(30)
            served.wait_for_metric(1e8, "fovea_key_flops_total", key="", model="tiny")
        finally:
            gate.open()
        status, body = asked.result(30)
        assert status == 200
        spent_flops = body["compute"]["spent_gflops"] * 1e9
        served.wait_for_metric(round(spent_flops), "fovea_key_flops_total", key="", model="tiny")


def test_a_window_dearer_than_its_keys_limit_ends_the_timeline_with_what_was_found(tmp_path: Path, film: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"limits": {"gflops_per_day": 0.15}})
    with serving(api_keys_file=tmp_path / "keys.json") as served:
        query = "?decode=all&window_s=2&stride_s=20&budget_gflops_per_s=0.06"  # the second could pay for 0.18
        status, body = post(served, film.read_bytes(), query, Authorization=f"Bearer {secrets['desk']}")
    assert status == 200, body
    assert body["end"]["reason"] == "quota"
    assert "0.15 GFLOPs" in body["end"]["detail"]
    assert body["segments"][0]["label"] == "red"
