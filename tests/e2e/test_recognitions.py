"""A video in, an answer out, over real HTTP."""

import json
import logging
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer

EVENTS = {"Accept": "text/event-stream"}


def events_of(text: str) -> list[tuple[str, str, dict]]:
    """(id, event, data) of every event."""
    blocks = [
        block for block in text.replace("\r\n", "\n").split("\n\n") if block.strip() and not block.startswith(":")
    ]
    lines = [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]
    return [(one.get("id", ""), one["event"], json.loads(one["data"])) for one in lines]


def test_an_answer_accounts_for_every_flop(served: Served, red_video: bytes) -> None:
    answer = served.post(red_video, "?max_gflops=0.16")
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"].startswith("rec_")
    assert (body["model"], body["task"], body["trained"]) == ("tiny", "colours", False)
    assert body["predictions"][0]["label"] == "red"
    assert body["exit"]["reason"] == "ceiling"
    assert body["exit"]["step"] == 1
    assert body["compute"]["budget_gflops"] == 0.18
    assert body["compute"]["max_gflops"] == 0.16
    assert body["compute"]["spent_gflops"] == 0.15
    assert [(step["kind"], step["gflops"]) for step in body["compute"]["steps"]] == [("glance", 0.1), ("cube", 0.05)]
    glance, cube = body["compute"]["steps"]
    assert "cube" not in glance
    assert cube["cube"]["box"] == {"x": 0.5, "y": 0.25, "w": 0.5, "h": 0.25}
    assert body["video"].pop("decode_gpixels") == pytest.approx(0.002, abs=0.001)  # 25 frames of 320 x 240 at most
    assert body["video"] | {"frames_decoded": 0} == {
        "duration_s": 1.0,
        "width": 320,
        "height": 240,
        "codec": "h264",
        "frames_decoded": 0,
        "frames_sampled": 4,
        "frames_damaged": 0,
        "frames_missing": 0,
        "clock_breaks": 0,
    }
    timing = body["timing_ms"]
    assert sum(timing.pop("decode_steps")) == pytest.approx(timing["decode"], abs=0.01)
    assert all(value >= 0 for value in timing.values())
    assert timing["total"] >= timing["decode"] + timing["inference"]


def test_curl_as_in_the_readme_sends_a_form(served: Served, red_video: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(red_video)
    fields = ["-F", "top_k=2", "-F", "budget_gflops=0.11", "-F", f"video=@{tmp_path / 'a.mp4'}"]
    told = subprocess.run(
        ["curl", "-sS", *fields, f"{served.url}/v1/recognitions"], capture_output=True, timeout=30, check=True
    )
    answer = json.loads(told.stdout)
    assert len(answer["predictions"]) == 2
    assert answer["exit"] == {"reason": "budget", "step": 0, "entropy_nats": answer["exit"]["entropy_nats"]}


def test_a_budget_above_the_full_cost_means_the_top_of_the_grid(served: Served, red_video: bytes) -> None:
    assert served.post(red_video, "?budget_gflops=999999999").json()["exit"]["reason"] == "exhausted"


def test_the_same_video_gets_the_same_answer_as_events(served: Served, red_video: bytes) -> None:
    whole = served.post(red_video).json()
    streamed = served.post(red_video, **EVENTS)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *steps, (_, last_kind, result) = events_of(streamed.text)
    assert [(number, kind) for number, kind, _ in steps] == [("0", "step"), ("1", "step"), ("2", "step")]
    assert last_kind == "result"
    assert [step["spent_gflops"] for *_, step in steps] == [0.1, 0.15, 0.18]
    assert steps[-1][2]["predictions"] == result["predictions"] == whole["predictions"]
    assert result["compute"] == whole["compute"]


def test_steps_arrive_one_by_one(red_video: bytes) -> None:
    gate = Gate("focus")
    with (
        serving(TinyRecognizer(gate), sse_ping_s=0.05) as served,
        served.client.stream(
            "POST", "/v1/recognitions", content=red_video, headers=EVENTS | {"Content-Type": "video/mp4"}
        ) as answer,
    ):
        lines = answer.iter_lines()
        seen = [next(lines)]
        while not seen[-1].startswith(":"):  # the focus step is held back: only comments can come
            seen.append(next(lines))
        assert [line for line in seen if line.startswith("id")] == ["id: 0"]
        gate.open()
        assert "event: result" in list(lines)


def test_a_failure_after_the_first_step_is_an_event(red_video: bytes) -> None:
    def break_down(kind: str) -> None:
        if kind == "focus":
            raise RuntimeError("secret")

    with serving(TinyRecognizer(break_down)) as served:
        answer = served.post(red_video, **EVENTS)
        assert answer.status_code == 200
        (_, first, _), (_, last, problem) = events_of(answer.text)
        assert (first, last) == ("step", "problem")
        assert (problem["type"], problem["status"]) == ("/problems/inference-failed", 500)
        assert "secret" not in answer.text
        served.wait_for_metric(1, "fovea_requests_total", model="tiny", outcome="error")


def test_undecodable_bytes_are_refused_with_a_status_even_where_events_are_wanted(served: Served) -> None:
    answer = served.post(b"no video at all", **EVENTS)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_broken_device_is_our_fault_and_told_without_its_inside(
    red_video: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(kind: str) -> None:
        raise RuntimeError("secret")

    with caplog.at_level(logging.ERROR), serving(TinyRecognizer(break_down)) as served:
        answer = served.post(red_video)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in answer.json()["detail"]
    assert "secret" in caplog.text


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_cancels_its_work(red_video: bytes, accept: str) -> None:
    gate = Gate("glance")
    recognizer = TinyRecognizer(gate)
    with serving(recognizer) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            head = (
                f"POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: video/mp4\r\n"
            )
            client.sendall(f"{head}Content-Length: {len(red_video)}\r\n\r\n".encode() + red_video)
            assert gate.reached.wait(10)
        served.wait_for_metric(1, "fovea_requests_total", model="tiny", outcome="cancelled")
        gate.open()
        served.wait_for_metric(0, "fovea_requests_waiting")
        served.wait_for_metric(0, "fovea_requests_running")
        admission = served.app.state.pipeline.admission
        assert (admission.places, admission.flops, admission.requests) == (0, 0, 0)
        assert recognizer.batches == [("glance", 1)], "nobody paid for cubes that nobody wanted"


def test_too_many_at_once_are_told_when_to_try_again(red_video: bytes) -> None:
    gate = Gate("glance")
    with (
        serving(TinyRecognizer(gate), max_queued_gflops=0.36) as served,  # two videos' full cost
        ThreadPoolExecutor(2) as pool,
    ):
        admitted = [pool.submit(served.post, red_video) for _ in range(2)]
        assert gate.reached.wait(10)
        while served.app.state.pipeline.admission.requests < 2:
            pass
        refused = served.post(red_video)
        assert refused.status_code == 429
        assert refused.json()["type"] == "/problems/overloaded"
        assert int(refused.headers["retry-after"]) >= 1
        gate.open()
        assert [answer.result().status_code for answer in admitted] == [200, 200]
        assert served.post(red_video).status_code == 200
        assert served.metric("fovea_requests_total", model="tiny", outcome="rejected") == 1


def test_a_deadline_before_the_glance_is_503_and_names_the_least_time(served: Served, red_video: bytes) -> None:
    served.post(red_video)
    refused = served.post(red_video, "?deadline_ms=1")
    assert refused.status_code == 503
    assert refused.json()["type"] == "/problems/deadline-before-glance"
    assert refused.json()["least_ms"] >= 1


def test_the_metrics_equal_the_sum_over_the_answers(red_video: bytes, blue_video: bytes) -> None:
    with serving() as served:
        queries = ["", "?max_gflops=0.12", "?budget_gflops=0.1", "?max_gflops=0.15", "?top_k=1"]
        with ThreadPoolExecutor(4) as pool:
            answers = [
                answer.json()
                for answer in pool.map(
                    lambda one: served.post(*one), [(v, q) for v in (red_video, blue_video) for q in queries]
                )
            ]
        assert served.post(b"nonsense").status_code == 422
        assert served.post(red_video, "?model=unheard-of").status_code == 422
        assert served.metric("fovea_requests_total", model="tiny", outcome="ok") == len(answers)
        assert served.metric("fovea_requests_total", model="tiny", outcome="invalid") == 1
        assert served.metric("fovea_requests_total", model="none", outcome="invalid") == 1
        spent_flops = sum(round(answer["compute"]["spent_gflops"] * 1e9) for answer in answers)
        assert served.metric("fovea_flops_total", model="tiny") == spent_flops
        assert served.metric("fovea_request_flops_sum", model="tiny") == spent_flops
        for reason in ("confident", "budget", "ceiling", "exhausted"):
            count = sum(answer["exit"]["reason"] == reason for answer in answers)
            assert served.metric("fovea_exits_total", model="tiny", reason=reason) == count
        assert served.metric("fovea_cubes_used_sum") == sum(answer["exit"]["step"] for answer in answers)
        assert served.metric("fovea_batch_size_sum", kind="glance") == len(answers)
        assert served.metric("fovea_decode_seconds_count") == len(answers)
        http = {"http_request_method": "POST", "http_route": "/v1/recognitions", "http_response_status_code": "200"}
        assert served.metric("http_server_request_duration_seconds_count", **http) == len(answers)


def test_a_storm_of_disconnects_leaves_nothing_behind(red_video: bytes, tmp_path: Path) -> None:
    with serving(spool_dir=tmp_path) as served:
        for number in range(60):
            accept = ("application/json", "text/event-stream")[number % 2]
            head = (
                f"POST /v1/recognitions HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nContent-Type: video/mp4\r\n"
            )
            body = red_video[: len(red_video) * (number % 5) // 4]
            with socket.create_connection(("127.0.0.1", served.port)) as client:
                client.sendall(f"{head}Content-Length: {len(red_video)}\r\n\r\n".encode() + body)
                time.sleep(number % 3 / 200)
        assert served.post(red_video).status_code == 200
        admission = served.app.state.pipeline.admission
        give_up_s = time.monotonic() + 10
        while admission.requests or os.listdir(tmp_path):
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        assert (admission.places, admission.flops) == (0, 0)
        served.wait_for_metric(0, "fovea_requests_waiting")
        served.wait_for_metric(0, "fovea_requests_running")
        ended = sum(
            served.metric("fovea_requests_total", model="tiny", outcome=outcome) for outcome in ("ok", "cancelled")
        )
        assert ended == 61, "each was counted once"


def test_an_answer_wanted_in_another_form_is_the_client_s_mistake_in_the_metrics_too(red_video: bytes) -> None:
    with serving() as served:
        refused = served.post(red_video, Accept="image/png")
        assert (refused.status_code, refused.json()["type"]) == (406, "/problems/not-acceptable")
        assert served.metric("fovea_requests_total", model="none", outcome="invalid") == 1
        assert served.metric("fovea_requests_total", model="none", outcome="error") == 0


def test_no_upload_outlives_its_request(red_video: bytes, tmp_path: Path) -> None:
    with serving(spool_dir=tmp_path) as served:
        assert served.post(red_video).status_code == 200
        assert served.post(red_video, **EVENTS).status_code == 200
        assert served.post(b"nonsense").status_code == 422
        assert os.listdir(tmp_path) == []
