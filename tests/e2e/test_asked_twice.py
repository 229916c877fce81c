"""`Idempotency-Key` on the routes that take a video: a request that is sent twice is answered once."""

from collections.abc import Iterator

import httpx
import pytest

from tests.clips import cached_clip, solid
from tests.serving import Served, serving
from tests.web_server import said, web_server

ROUTES = ("/v1/recognitions", "/v1/timelines")
ROOM_IN_THE_LEDGER = 2**18


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as service:
        yield service


def post(served: Served, path: str, video: bytes, key: str, **headers: str) -> httpx.Response:
    usual = {"Content-Type": "video/mp4", "Idempotency-Key": key}
    return served.client.post(path, content=video, headers=usual | headers)


def spent_flops(served: Served) -> float:
    return served.metric("fovea_key_flops_total", key="", model="tiny")


@pytest.mark.parametrize("path", ROUTES)
def test_the_same_request_with_the_same_key_gets_the_first_answer_and_costs_nothing(
    served: Served, red_video: bytes, path: str
) -> None:
    first = post(served, path, red_video, f"same-{path}")
    assert first.status_code == 200, first.text
    assert "Idempotency-Replayed" not in first.headers
    served.wait_for_metric(0, "fovea_reserved_flops")
    before_flops = spent_flops(served)
    again = post(served, path, red_video, f"same-{path}")
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert spent_flops(served) == before_flops


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("other", ["video", "options", "job"])
def test_another_request_with_that_key_is_refused(
    served: Served, red_video: bytes, blue_video: bytes, path: str, other: str
) -> None:
    key = f"other-{other}-{path}"
    assert post(served, path, red_video, key).status_code == 200
    match other:
        case "video":
            answer = post(served, path, blue_video, key)
        case "options":
            answer = post(served, f"{path}?top_k=1", red_video, key)
        case _:
            answer = post(served, path, red_video, key, Prefer="respond-async")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.parametrize("path", ROUTES)
def test_a_job_with_that_key_is_the_same_job(served: Served, red_video: bytes, path: str) -> None:
    key = f"job-{path}"
    first, again = (post(served, path, red_video, key, Prefer="respond-async") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["Location"] == again.headers["Location"]
    plain = post(served, path, red_video, key)
    assert (plain.status_code, plain.json()["type"]) == (422, "/problems/idempotency-key-reused")


@pytest.mark.parametrize("path", ROUTES)
def test_what_is_told_bit_by_bit_takes_no_key(served: Served, red_video: bytes, path: str) -> None:
    answer = post(served, path, red_video, "events", Accept="text/event-stream")
    assert (answer.status_code, answer.json()["option"]) == (422, "Idempotency-Key")
    assert "respond-async" in answer.json()["detail"]


@pytest.mark.parametrize("path", ROUTES)
def test_what_was_refused_may_be_put_right_and_sent_again_with_its_key(
    served: Served, red_video: bytes, path: str
) -> None:
    key = f"put-right-{path}"
    assert post(served, path, b"no video at all", key).status_code == 422
    again = post(served, path, b"no video at all", key)
    assert again.json()["type"] == "/problems/video-unreadable"
    assert "Idempotency-Replayed" not in again.headers


def test_an_answer_larger_than_its_place_in_the_ledger_is_given_again_too(served: Served) -> None:
    film = cached_clip("sixty.mp4", pattern=solid(220, 20, 20), seconds=60, fps=10, size=(64, 48)).read_bytes()
    path = "/v1/timelines?window_s=0.2&stride_s=0.05&merge=false"
    first = post(served, path, film, "large")
    assert len(first.content) > ROOM_IN_THE_LEDGER
    again = post(served, path, film, "large")
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_url_is_the_same_request_while_it_leads_to_the_same_video(red_video: bytes, blue_video: bytes) -> None:
    everywhere = {"url_http": True, "url_ports": ((1, 65535),), "url_allowed_networks": ("127.0.0.0/8",)}
    with serving(**everywhere) as served, web_server() as web:
        for path in ROUTES:
            web.pages["/a.mp4"] = said("200 OK", red_video)
            body = {"url": web.url("/a.mp4"), "top_k": 1}
            first, again = (
                served.client.post(path, json=body, headers={"Idempotency-Key": "by-url"}) for _ in range(2)
            )
            assert (first.status_code, first.json()) == (200, again.json())
            assert again.headers["Idempotency-Replayed"] == "true"
            web.pages["/a.mp4"] = said("200 OK", blue_video)
            other = served.client.post(path, json=body, headers={"Idempotency-Key": "by-url"})
            assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
