"""Several videos in one request, and labels that may be told."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import fovea
from fovea.errors import InvalidOption, InvalidUpload, VideoUnreadable
from tests.serving import Served, serving
from tests.web_server import said, web_server


def form(*videos: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("video", (f"{number}.mp4", video)) for number, video in enumerate(videos)]


def asked(served: Served, *videos: bytes, query: str = "", **headers: str) -> httpx.Response:
    return served.client.post(f"/v1/recognitions{query}", files=form(*videos), headers=headers)


def test_several_videos_are_answered_by_a_list_in_their_order(
    served: Served, red_video: bytes, blue_video: bytes
) -> None:
    counted = served.metric("fovea_requests_total", model="tiny", outcome="ok")
    answer = asked(served, red_video, blue_video, red_video, blue_video, blue_video, red_video, query="?max_gflops=0.1")
    assert answer.status_code == 200, answer.text
    told = answer.json()["recognitions"]
    assert [one["predictions"][0]["label"] for one in told] == ["red", "blue", "red", "blue", "blue", "red"]
    assert {one["compute"]["spent_gflops"] for one in told} == {0.1}
    assert len({one["id"] for one in told}) == 6
    served.wait_for_metric(counted + 6, "fovea_requests_total", model="tiny", outcome="ok")
    served.wait_for_metric(0, "fovea_reserved_flops")


def test_what_is_wrong_with_one_video_is_told_in_its_place(served: Served, red_video: bytes) -> None:
    told = asked(served, red_video, b"no video", red_video).json()["recognitions"]
    assert [one.get("status", 200) for one in told] == [200, 422, 200]
    assert told[1]["type"] == "/problems/video-unreadable"
    assert asked(served, b"no video", red_video).json()["recognitions"][1]["predictions"]


def test_options_after_any_of_the_videos_hold_for_all(served: Served, red_video: bytes) -> None:
    files = [*form(red_video), ("top_k", (None, "1")), *form(red_video), ("max_gflops", (None, "0.1"))]
    told = served.client.post("/v1/recognitions", files=files).json()["recognitions"]
    assert [(len(one["predictions"]), one["compute"]["spent_gflops"]) for one in told] == [(1, 0.1), (1, 0.1)]


def test_an_empty_video_among_them_is_refused(served: Served, red_video: bytes) -> None:
    answer = asked(served, red_video, b"")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-upload")


def test_events_are_told_of_one_video(served: Served, red_video: bytes) -> None:
    answer = asked(served, red_video, red_video, Accept="text/event-stream")
    assert answer.status_code == 422
    assert "events are told of one video" in answer.json()["detail"]


def test_more_videos_than_may_be_and_more_bytes_than_may_be_are_refused(red_video: bytes) -> None:
    with serving(max_files=2, max_upload_bytes=3 * len(red_video)) as served:
        assert asked(served, red_video, red_video).status_code == 200
        assert "more than 2 parts" in asked(served, *[red_video[:100]] * 3).json()["detail"]
        assert asked(served, red_video, red_video * 3).status_code == 413
        assert served.metric("fovea_decode_places_used") == 0


def test_labels_choose_what_is_told_and_change_no_score(served: Served, red_video: bytes) -> None:
    every = {one["label"]: one["score"] for one in served.post(red_video).json()["predictions"]}
    some = served.post(red_video, "?labels=blue,%20green").json()
    assert {one["label"]: one["score"] for one in some["predictions"]} == {
        label: every[label] for label in ("green", "blue")
    }
    assert some["compute"]["steps"][0]["top"]["label"] == "green"  # a step tells no label that was not asked for
    assert [one["label"] for one in served.post(red_video, "?labels=red&top_k=3").json()["predictions"]] == ["red"]
    events = served.post(red_video, "?labels=blue", Accept="text/event-stream").text
    steps = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert {one["label"] for step in steps for one in step["predictions"]} == {"blue"}


@pytest.mark.parametrize(
    ("labels", "told"),
    [("purple", "tiny has no label 'purple'"), ("gren", "did you mean 'green'"), ("", "separated by commas"),
     ("red,,blue", "separated by commas"), ("red%00", "separated by commas")],
)  # fmt: skip
def test_labels_that_there_are_not_are_refused(served: Served, red_video: bytes, labels: str, told: str) -> None:
    answer = served.post(red_video, f"?labels={labels}")
    assert (answer.status_code, answer.json()["option"]) == (422, "labels")
    assert told in answer.json()["detail"]


def test_the_client_knows_labels_and_urls(red_video: bytes) -> None:
    everywhere = {"url_http": True, "url_ports": ((1, 65535),), "url_allowed_networks": ("127.0.0.0/8",)}
    with (
        web_server({"/red.mp4": said("200 OK", red_video)}) as web,
        serving(**everywhere) as served,
        fovea.Client(served.url) as client,
    ):
        answer = client.recognize(web.url("/red.mp4"), labels=["blue", "green"])
        assert [one.label for one in answer.predictions] == ["green", "blue"]
        with pytest.raises(InvalidOption, match="no label"):
            client.recognize(red_video, labels=["purple"])


def ask_sync(served: Served, videos: Any, **options: Any) -> Any:
    with fovea.Client(served.url) as client:
        return client.recognize(videos, **options)


def ask_async(served: Served, videos: Any, **options: Any) -> Any:
    async def ask() -> Any:
        async with fovea.AsyncClient(served.url) as client:
            return await client.recognize(videos, **options)

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async], ids=["sync", "async"])


@both
def test_the_client_asks_for_several_videos_in_one_request(
    served: Served, red_video: bytes, blue_video: bytes, tmp_path: Path, ask: Callable[..., Any]
) -> None:
    path = tmp_path / "blue.mp4"
    path.write_bytes(blue_video)
    asked_before = requests(served)
    answers = ask(served, (red_video, path, b"no video"), top_k=1)
    assert requests(served) == asked_before + 1
    assert [one.predictions[0].label for one in answers[:2]] == ["red", "blue"]
    assert isinstance(answers[2], VideoUnreadable)
    assert answers[2].extra["status"] == 422


@both
def test_one_video_in_a_list_is_answered_by_a_list_whatever_comes_of_it(
    served: Served, red_video: bytes, ask: Callable[..., Any]
) -> None:
    assert [one.predictions[0].label for one in ask(served, [red_video])] == ["red"]
    assert [type(one) for one in ask(served, [b"no video"])] == [VideoUnreadable]
    assert ask(served, []) == []


@both
def test_what_is_wrong_with_all_of_it_is_raised(served: Served, red_video: bytes, ask: Callable[..., Any]) -> None:
    with pytest.raises(InvalidOption):
        ask(served, [red_video, red_video], top_k=0)
    with pytest.raises(InvalidOption):
        ask(served, [red_video], top_k=0)
    with pytest.raises(InvalidUpload, match="more than 16 parts"):
        ask(served, [red_video] * 17)


def requests(served: Served) -> float:
    """Posts of recognitions, however many videos each held."""
    sample = {"http_request_method": "POST", "http_route": "/v1/recognitions", "http_response_status_code": "200"}
    return served.metric("http_server_request_duration_seconds_count", **sample)
