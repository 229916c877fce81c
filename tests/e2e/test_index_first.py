"""A slow video by URL is decoded while it comes, also where its index lies behind its pictures: that is fetched first.

Of a server that gives no parts, or wrong ones, the video comes from front to back as ever.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import httpx
import pytest

from tests.clips import cached_clip, frozen, noise
from tests.serving import Served, serving
from tests.web_server import Answer, WebServer, s3_settings, said, web_server

LOOPBACK = (ip_network("127.0.0.0/8"),)
CLIP = {"seconds": 4, "pattern": noise, "size": (320, 240), "gop": 40}
LAST = cached_clip("url-last.mp4", **CLIP).read_bytes()
FIRST = cached_clip("url-first.mp4", **CLIP, container_options=frozen(movflags="faststart")).read_bytes()
PLACE = LAST.index(b"moov") - 4
TAG = '"one"'
SECONDS = 0.6


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with web_server({}) as server:
        yield server


@pytest.fixture(scope="module")
def fetching() -> Iterator[Served]:
    with serving(
        decode_children=1, url_http=True, url_allowed_networks=LOOPBACK, url_ports=((1, 65535),), url_silence_s=2.0
    ) as service:
        yield service


def slowly(body: bytes, **headers: object) -> Answer:
    def answer(connection: socket.socket) -> None:
        said("200 OK", b"", **{"Content_Length": len(body)} | headers)(connection)
        for number in range(20):
            connection.sendall(body[number * len(body) // 20 : (number + 1) * len(body) // 20])
            time.sleep(SECONDS / 20)

    return answer


def part(content: bytes, place: int = PLACE, **headers: object) -> Answer:
    told = {"Content_Range": f"bytes {place}-{len(LAST) - 1}/{len(LAST)}", "ETag": TAG} | headers
    return said("206 Partial Content", content, **told)


def in_parts(web: WebServer, whole: Answer, end: Answer) -> Answer:
    """What a server answers that was asked for the whole, and for a part of it."""

    def answer(connection: socket.socket) -> None:
        is_part = "\r\nrange:" in web.asked[-1].lower()
        (end if is_part else whole)(connection)

    return answer


def ask(served: Served, web: WebServer) -> httpx.Response:
    return served.client.post("/v1/recognitions", json={"url": web.url("/a.mp4")}, timeout=60)


def told(answer: httpx.Response) -> dict[str, Any]:
    """What of an answer does not tell when it was given."""
    assert answer.status_code == 200, answer.text
    return {name: value for name, value in answer.json().items() if name not in {"id", "timing_ms", "created_at"}}


def used(served: Served) -> float:
    return served.metric("fovea_early_frames_total", outcome="used")


def ranges_since(web: WebServer, before: int) -> list[str]:
    return re.findall(r"Range: bytes=.*", "\n".join(web.asked[before:]))


def test_an_index_behind_the_pictures_comes_first_and_frames_are_decoded_before_the_last_byte(
    fetching: Served, web: WebServer
) -> None:
    expected = fetching.post(LAST)
    used_before, asked_before = used(fetching), len(web.asked)
    web.pages["/a.mp4"] = in_parts(web, slowly(LAST, Accept_Ranges="bytes", ETag=TAG), part(LAST[PLACE:]))
    answer = ask(fetching, web)
    assert told(answer) == told(expected)
    assert used(fetching) == used_before + answer.json()["video"]["frames_sampled"]
    whole, end = web.asked[asked_before:]
    assert "Range" not in whole
    assert f"Range: bytes={PLACE}-{len(LAST) - 1}\r\n" in end
    assert f"If-Range: {TAG}\r\n" in end


def test_an_index_before_the_pictures_needs_no_second_request(fetching: Served, web: WebServer) -> None:
    used_before, asked_before = used(fetching), len(web.asked)
    web.pages["/a.mp4"] = slowly(FIRST, Accept_Ranges="bytes", ETag=TAG)
    assert told(ask(fetching, web)) == told(fetching.post(FIRST))
    assert used(fetching) > used_before
    assert ranges_since(web, asked_before) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept_Ranges": "none", "ETag": TAG},
        {"ETag": TAG},
        {"Accept_Ranges": "bytes"},
        {"Accept_Ranges": "bytes", "ETag": 'W/"weak"', "Last_Modified": "Fri, 27 Nov 2026 20:00:00 GMT"},
        {"Accept_Ranges": "bytes", "ETag": '"caf\u00c3\u00a9"'},
    ],
)
def test_parts_are_asked_for_only_where_the_server_gives_them_and_names_its_version(
    fetching: Served, web: WebServer, headers: dict[str, str]
) -> None:
    asked_before = len(web.asked)
    web.pages["/a.mp4"] = slowly(LAST, **headers)
    assert told(ask(fetching, web)) == told(fetching.post(LAST))
    assert ranges_since(web, asked_before) == []


def hanging_up(connection: socket.socket) -> None:
    """Nothing is said."""


def hanging(connection: socket.socket) -> None:
    """Nothing is said for long."""
    connection.recv(1)  # until the other end leaves


def trickling(connection: socket.socket) -> None:
    part(b"", Content_Length=len(LAST) - PLACE)(connection)
    for place in range(PLACE, len(LAST)):
        connection.sendall(LAST[place : place + 1])
        time.sleep(0.2)


@pytest.mark.parametrize(
    "end",
    [
        said("200 OK", LAST, ETag='"two"'),
        said("416 Range Not Satisfiable"),
        said("500 Internal Server Error"),
        said("302 Found", Location="/elsewhere"),
        part(LAST[PLACE + 4 :], PLACE + 4),
        part(LAST[PLACE:], Content_Range=f"bytes {PLACE}-{len(LAST)}/{len(LAST) + 1}"),
        part(LAST[PLACE:], Content_Range=None),
        part(LAST[PLACE:-5]),
        part(LAST[PLACE:-5], Content_Length=len(LAST) - PLACE),
        part(LAST[PLACE:] + b"more"),
        part(LAST[PLACE:], Content_Encoding="gzip"),
        hanging_up,
        hanging,
        trickling,
    ],
    ids=[
        "changed", "416", "500", "redirect", "another-part", "another-length", "no-range", "short", "broken", "long",
        "packed", "hangs-up", "hangs", "trickles",
    ],
)  # fmt: skip
def test_an_end_that_is_not_what_was_asked_for_is_left_and_comes_in_its_turn(
    fetching: Served, web: WebServer, end: Answer
) -> None:
    asked_before = len(web.asked)
    web.pages["/a.mp4"] = in_parts(web, slowly(LAST, Accept_Ranges="bytes", ETag=TAG), end)
    assert told(ask(fetching, web)) == told(fetching.post(LAST))
    assert len(ranges_since(web, asked_before)) == 1


def test_a_video_that_breaks_off_behind_an_end_that_came_is_told_as_broken_off(
    fetching: Served, web: WebServer
) -> None:
    half = LAST[: len(LAST) // 2]
    web.pages["/a.mp4"] = in_parts(
        web, slowly(half, Accept_Ranges="bytes", ETag=TAG, Content_Length=len(LAST)), part(LAST[PLACE:])
    )
    answer = ask(fetching, web)
    assert answer.status_code == 422
    assert "broke off" in answer.json()["detail"]
    assert fetching.metric("fovea_decode_places_used") == 0


@pytest.mark.parametrize(
    "wrong", [bytes(len(LAST) - PLACE), LAST[PLACE : PLACE + 200] + bytes(len(LAST) - PLACE - 200)]
)
def test_an_end_that_is_damaged_is_refused_as_an_upload_of_the_same_bytes(
    fetching: Served, web: WebServer, wrong: bytes
) -> None:
    web.pages["/a.mp4"] = in_parts(web, slowly(LAST, Accept_Ranges="bytes", ETag=TAG), part(wrong))
    answer, expected = ask(fetching, web), fetching.post(LAST[:PLACE] + wrong)
    assert (answer.status_code, expected.status_code) == (422, 422)
    assert answer.json()["detail"] == expected.json()["detail"]


def test_a_client_that_leaves_ends_both_fetches_and_gives_the_child_back(fetching: Served, web: WebServer) -> None:
    web.pages["/a.mp4"] = in_parts(web, slowly(LAST, Accept_Ranges="bytes", ETag=TAG), part(LAST[PLACE:]))
    with pytest.raises(httpx.ReadTimeout):
        fetching.client.post("/v1/recognitions", json={"url": web.url("/a.mp4")}, timeout=SECONDS * 0.75)
    fetching.wait_for_metric(0, "fovea_decode_places_used")
    sandbox: Any = fetching.app.state.pipeline._decoding._sandbox
    until(lambda: sandbox.num_following == 0)
    assert fetching.post(LAST).status_code == 200


def until(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


@pytest.mark.parametrize("tag", [TAG, '"two"'])
def test_of_an_object_of_s3_the_index_comes_first_where_it_is_still_the_same(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    pytest.importorskip("obstore")
    for name, value in s3_settings(web).items():
        monkeypatch.setenv(name, value)
    dates = {"Last_Modified": "Fri, 27 Nov 2026 20:00:00 GMT"}
    end = part(LAST[PLACE:], **dates) if tag == TAG else said("412 Precondition Failed")
    web.pages["/videos/a.mp4"] = in_parts(web, slowly(LAST, ETag=TAG, **dates), end)
    with serving(decode_children=1, url_s3_buckets=("videos",)) as served:
        asked_before = len(web.asked)
        answer = served.client.post("/v1/recognitions", json={"url": "s3://videos/a.mp4"}, timeout=60)
        assert told(answer) == told(served.post(LAST))
        assert (used(served) > 0) == (tag == TAG)
    heads = [head.lower() for head in web.asked[asked_before:]]
    assert [f"range: bytes={PLACE}-" in head and f"if-match: {TAG}" in head for head in heads] == [False, True]
