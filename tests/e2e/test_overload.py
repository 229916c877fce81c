"""A full service: budgets give way before anybody is refused, refusals come early, and load is told."""

import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from fovea import Client
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer


def hold(served: Served, gate: Gate, pool: ThreadPoolExecutor, video: bytes, num: int) -> list[Future[Any]]:
    """So many requests wait for their glance, until the gate is opened."""
    waiting = [pool.submit(served.post, video) for _ in range(num)]
    assert gate.reached.wait(10)
    give_up_s = time.monotonic() + 10
    while served.app.state.pipeline.admission.requests < num:
        assert time.monotonic() < give_up_s
        time.sleep(0.01)
    return waiting


def wait_for_pressure(served: Served, least: float) -> None:
    give_up_s = time.monotonic() + 20
    while served.metric("fovea_pressure") < least:
        assert time.monotonic() < give_up_s, served.metric("fovea_pressure")
        time.sleep(0.05)


def test_under_load_a_smaller_budget_is_granted_and_told_unless_the_request_says_no(red_video: bytes) -> None:
    gate = Gate("glance")
    with serving(TinyRecognizer(gate), max_requests=6) as served, ThreadPoolExecutor(8) as pool:
        waiting = hold(served, gate, pool, red_video, 4)
        wait_for_pressure(served, 0.5)
        degraded = pool.submit(served.post, red_video, "?budget_gflops=0.18")
        firm = pool.submit(served.post, red_video, "?budget_gflops=0.18&min_budget_gflops=0.18")
        served.wait_for_metric(6 / 6, "fovea_load")
        refused = served.post(red_video)
        gate.open()
        before = [one.result().json()["compute"] for one in waiting]
        less, all_of_it = degraded.result().json()["compute"], firm.result().json()["compute"]
        count = served.metric("fovea_budget_granted_ratio_count")
    assert refused.status_code == 429
    assert {one["budget_granted_gflops"] for one in before} == {0.18}
    assert (less["budget_gflops"], less["budget_granted_gflops"], len(less["steps"])) == (0.18, 0.1, 1)
    assert (all_of_it["budget_granted_gflops"], len(all_of_it["steps"])) == (0.18, 3)
    assert count == 6


def test_with_the_setting_off_whoever_is_admitted_gets_what_was_asked_for(red_video: bytes) -> None:
    gate = Gate("glance")
    with serving(TinyRecognizer(gate), max_requests=6, degrade=False) as served, ThreadPoolExecutor(8) as pool:
        waiting = hold(served, gate, pool, red_video, 4)
        wait_for_pressure(served, 0.5)
        waiting.append(pool.submit(served.post, red_video))
        served.wait_for_metric(5 / 6, "fovea_load")
        gate.open()
        assert {one.result().json()["compute"]["budget_granted_gflops"] for one in waiting} == {0.18}


@pytest.fixture(scope="module")
def full(red_video: bytes):
    """A service whose only place is taken."""
    gate = Gate("glance")
    with serving(TinyRecognizer(gate), max_requests=1) as served, ThreadPoolExecutor(1) as pool:
        waiting = hold(served, gate, pool, red_video, 1)
        yield served
        gate.open()
        assert waiting[0].result().status_code == 200


@pytest.mark.parametrize("kind", ["video/mp4", "multipart/form-data; boundary=b"])
def test_who_asks_before_sending_is_refused_without_a_byte_of_the_body(full: Served, kind: str) -> None:
    head = (
        f"POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        "Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", full.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    status, _, rest = answer.partition(b"\r\n")
    assert status == b"HTTP/1.1 429 Too Many Requests", "and no 100 Continue before it"
    headers = rest.partition(b"\r\n\r\n")[0].lower()
    assert b"connection: close" in headers
    assert b"retry-after: 1" in headers
    assert b"x-fovea-load: 1.000" in headers


def test_a_refusal_says_what_was_full_and_is_counted_by_it(full: Served, red_video: bytes) -> None:
    before = full.metric("fovea_refusals_total", bound="requests")
    answer = full.post(red_video)
    assert answer.status_code == 429
    assert "1 requests are not answered yet" in answer.json()["detail"]
    assert full.metric("fovea_refusals_total", bound="requests") == before + 1


def test_readiness_and_answers_tell_the_load_while_others_need_not(full: Served) -> None:
    ready = full.client.get("/readyz")
    assert (ready.status_code, ready.json()["load"], ready.headers["X-Fovea-Load"]) == (200, 1.0, "1.000")
    assert full.client.get("/v1/models").headers["X-Fovea-Load"] == "1.000"
    assert "X-Fovea-Load" not in full.client.get("/livez").headers
    assert full.metric("fovea_load") == 1


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?min_budget_gflops=0.5", "min_budget_gflops=0.5 is above the budget of 0.18"),
        ("?budget_gflops=0.15&min_budget_gflops=0.16", "min_budget_gflops=0.16 is above the budget of 0.15"),
        ("?min_budget_gflops=none", "must be a number of GFLOPs above 0"),
        ("?min_budget_gflops=0", "must be a number of GFLOPs above 0"),
    ],
)
def test_a_least_budget_that_cannot_be_is_refused(served: Served, red_video: bytes, query: str, told: str) -> None:
    answer: httpx.Response = served.post(red_video, query)
    assert (answer.status_code, answer.json()["option"]) == (422, "min_budget_gflops")
    assert told in answer.json()["detail"]


def test_the_client_asks_for_a_least_budget_and_reads_what_was_granted(served: Served, red_video: bytes) -> None:
    with Client(served.url) as client:
        answer = client.recognize(red_video, budget_gflops=0.15, min_budget_gflops=0.15)
    assert (answer.compute.budget_gflops, answer.compute.budget_granted_gflops) == (0.15, 0.15)


def test_a_timeline_knows_no_least_budget(served: Served, red_video: bytes) -> None:
    answer = served.client.post(
        "/v1/timelines?min_budget_gflops=0.1", content=red_video, headers={"Content-Type": "video/mp4"}
    )
    assert answer.status_code == 422
    assert "there is no option 'min_budget_gflops'" in answer.json()["detail"]
