"""The same video again: its answer is held, or gone on from, for the key that asked, until it is told not to be."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fovea import Client
from tests.e2e.jobs.asking import ended, events, submitted
from tests.keys import key_file
from tests.redis_server import redis_server
from tests.serving import Served, serving
from tests.tiny import Gate, TinyRecognizer, tiny_model

SMALL, LARGE = "?budget_gflops=0.1", "?budget_gflops=0.18"  # stops after the glance; takes both cubes


@contextmanager
def holding(before: Callable[[str], None] = lambda kind: None, **settings: Any) -> Iterator[Served]:
    model = tiny_model(TinyRecognizer(before))
    with serving(models=[model], **{"result_cache_bytes": 2**20} | settings) as served:
        served.app.state.recognizer = model.recognizer
        yield served


@pytest.fixture
def held() -> Iterator[Served]:
    with holding() as served:
        yield served


def classify(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", "classify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def batches(served: Served) -> list[str]:
    return [kind for kind, _ in served.app.state.recognizer.batches]


def essence(answer: dict[str, Any]) -> dict[str, Any]:
    """What an answer says of the video, whoever paid for it."""
    steps = [{name: said for name, said in step.items() if name != "held"} for step in answer["compute"]["steps"]]
    kept = ("model", "bundle", "label", "predictions", "exit", "video", "in_domain")
    return {name: answer.get(name) for name in kept} | {"steps": steps, "total": answer["compute"]["total_gflops"]}


def test_the_same_video_with_the_same_settings_costs_nothing(held: Served, red_video: bytes) -> None:
    first, second = (held.post(red_video, LARGE).json() for _ in range(2))
    assert "cached" not in first
    assert (second["cached"], second["compute"]["spent_gflops"]) == (True, 0)
    assert essence(second) == essence(first)
    assert second["id"] != first["id"]
    assert batches(held) == ["glance", "focus", "focus"]
    assert held.metric("fovea_flops_total", model="tiny") == 180_000_000
    assert held.metric("fovea_saved_flops_total", model="tiny") == 180_000_000
    assert [held.metric("fovea_result_cache_lookups_total", outcome=one) for one in ("miss", "hit")] == [1, 1]
    assert held.metric("fovea_result_cache_bytes") > 0


def test_a_larger_budget_goes_on_from_the_steps_that_are_paid(held: Served, red_video: bytes) -> None:
    with holding() as other:
        fresh = other.post(red_video, LARGE).json()
    held.post(red_video, SMALL)
    answer = held.post(red_video, LARGE).json()
    compute = answer["compute"]
    assert (compute["resumed_from_step"], compute["spent_gflops"], compute["total_gflops"]) == (0, 0.08, 0.18)
    assert [step.get("held", False) for step in compute["steps"]] == [True, False, False]
    assert "cached" not in answer
    assert essence(answer) == essence(fresh)
    assert batches(held) == ["glance", "focus", "focus"]
    assert held.metric("fovea_result_cache_lookups_total", outcome="resumed") == 1


def test_a_smaller_budget_stops_where_it_would_have(held: Served, red_video: bytes) -> None:
    with holding() as other:
        fresh = other.post(red_video, SMALL).json()
    held.post(red_video, LARGE)
    answer = held.post(red_video, SMALL).json()
    assert answer["cached"]
    assert essence(answer) == essence(fresh)


def test_ceiling_labels_and_scores_are_those_of_the_request(held: Served, red_video: bytes) -> None:
    held.post(red_video, LARGE)
    answer = held.post(red_video, "?max_gflops=0.16&top_k=1&labels=blue").json()
    assert (answer["cached"], answer["exit"]["reason"], answer["label"]) == (True, "ceiling", "blue")
    assert [one["label"] for one in answer["predictions"]] == ["blue"]
    assert answer["compute"]["total_gflops"] == 0.15


def test_no_store_neither_finds_nor_leaves_anything(held: Served, red_video: bytes) -> None:
    for _ in range(2):
        answer = held.post(red_video, SMALL, **{"Cache-Control": "max-age=0, No-Store"}).json()
        assert answer["compute"]["spent_gflops"] == 0.1
    assert "cached" not in held.post(red_video, SMALL).json(), "nothing was left"
    assert held.metric("fovea_result_cache_lookups_total", outcome="miss") == 1, "nothing was looked for"


def test_the_client_says_no_store_for_one_video_for_several_step_by_step_and_for_jobs(
    held: Served, red_video: bytes
) -> None:
    with Client(held.url) as client:
        client.recognize(red_video, max_gflops=0.1)
        assert client.recognize(red_video, max_gflops=0.1).cached
        asked = [client.recognize(red_video, max_gflops=0.1, no_store=True)]
        asked += [one for one in client.recognize([red_video] * 2, max_gflops=0.1, no_store=True)]
        asked.append([*client.recognize_steps(red_video, max_gflops=0.1, no_store=True)][-1])
        asked.append(client.submit(red_video, max_gflops=0.1, no_store=True).wait())
    assert [(one.cached, one.compute.spent_gflops) for one in asked] == [(False, 0.1)] * 5


def test_classify_says_no_store(held: Served, red_video: bytes, tmp_path: Path) -> None:
    held.post(red_video, SMALL)
    video = tmp_path / "red.mp4"
    video.write_bytes(red_video)
    for more, spent in ((["--together"], 0.0), (["--no-store"], 0.1), (["--no-store", "--together"], 0.1)):
        done = classify("--json", "--server", held.url, "--max-gflops", "0.1", *more, video)
        assert json.loads(done.stdout)["compute"]["spent_gflops"] == spent, done.stderr
    refused = classify("--no-store", video)
    assert "add --server" in refused.stderr


def test_another_video_is_another_answer(held: Served, red_video: bytes, blue_video: bytes) -> None:
    held.post(red_video, SMALL)
    answer = held.post(blue_video, SMALL).json()
    assert ("cached" in answer, answer["label"]) == (False, "blue")


def test_events_tell_the_steps_that_are_held_and_what_is_spent_now(held: Served, red_video: bytes) -> None:
    held.post(red_video, SMALL)
    for spent in ([0, 0.05, 0.08], [0, 0, 0]):
        told = events(held.post(red_video, LARGE, Accept="text/event-stream").text)
        assert [name for name, _ in told] == ["step", "step", "step", "result"]
        assert [said["spent_gflops"] for _, said in told[:3]] == pytest.approx(spent)
        assert told[-1][1]["compute"]["spent_gflops"] == pytest.approx(spent[-1])
    assert told[-1][1]["cached"]


def test_several_videos_of_one_request_are_looked_for_each_by_itself(
    held: Served, red_video: bytes, blue_video: bytes
) -> None:
    held.post(red_video, SMALL)
    files = [("video", ("a.mp4", red_video)), ("video", ("b.mp4", blue_video))]
    told = held.client.post(f"/v1/recognitions{SMALL}", files=files).json()["recognitions"]
    assert [one.get("cached", False) for one in told] == [True, False]


def test_jobs_find_what_requests_have_left_and_may_say_no_store(held: Served, red_video: bytes) -> None:
    held.post(red_video, SMALL)
    job = ended(held.client, submitted(held.client, red_video, SMALL))
    assert job["result"]["cached"]
    job = ended(held.client, submitted(held.client, red_video, SMALL, **{"Cache-Control": "no-store"}))
    assert job["result"]["compute"]["spent_gflops"] == 0.1


def test_what_a_client_that_left_has_paid_for_is_gone_on_from(red_video: bytes) -> None:
    gate, headers = Gate("focus"), {"Content-Type": "video/mp4", "Accept": "text/event-stream"}
    with holding(gate) as served:
        with served.client.stream("POST", f"/v1/recognitions{LARGE}", content=red_video, headers=headers) as leaving:
            assert next(leaving.iter_lines())
            assert gate.reached.wait(20)
        served.wait_for_metric(1, "fovea_requests_total", model="tiny", outcome="cancelled")
        gate.open()
        served.wait_for_metric(150_000_000, "fovea_flops_total", model="tiny")
        served.wait_for_metric(0, "fovea_requests_waiting")
        answer = served.post(red_video, LARGE).json()
    assert (answer["compute"]["resumed_from_step"], answer["compute"]["spent_gflops"]) == (1, 0.03)


def test_the_same_video_at_the_same_time_is_right_for_both(red_video: bytes) -> None:
    """A state is one request's alone: the other begins anew."""
    with holding(decode_children=2) as served:
        fresh = essence(served.post(red_video, LARGE, **{"Cache-Control": "no-store"}).json())
        served.post(red_video, SMALL)
        with ThreadPoolExecutor(4) as clients:
            answers = [one.json() for one in clients.map(lambda _: served.post(red_video, LARGE), range(4))]
        assert [essence(answer) for answer in answers] == [fresh] * 4
        spent = sum(answer["compute"]["spent_gflops"] for answer in answers)
        assert served.metric("fovea_flops_total", model="tiny") == pytest.approx((0.18 + 0.1 + spent) * 1e9)


def test_one_key_is_not_told_what_another_has_posted(red_video: bytes, tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={}, yard={}, boss={"scopes": ["admin"]})
    with holding(api_keys_file=tmp_path / "keys.json") as served:

        def post(name: str) -> dict[str, Any]:
            answer: dict[str, Any] = served.post(red_video, SMALL, Authorization=f"Bearer {secrets[name]}").json()
            return answer

        assert ["cached" in post(name) for name in ("desk", "yard", "desk", "yard")] == [False, False, True, True]
        usage = served.client.get("/v1/usage", headers={"Authorization": f"Bearer {secrets['boss']}"}).json()["usage"]
    assert {one["key"]: (one["requests"], one["gflops"]) for one in usage} == {"desk": (2, 0.1), "yard": (2, 0.1)}


def test_quotas_count_what_was_spent_now(red_video: bytes, tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={"limits": {"gflops_per_day": 0.3}})
    with holding(api_keys_file=tmp_path / "keys.json") as served:
        statuses = [
            served.post(red_video, SMALL, Authorization=f"Bearer {secrets['desk']}").status_code for _ in range(8)
        ]
    assert statuses == [200] * 8, "0.1 of 0.3 GFLOPs once, and nothing seven times"


def test_without_room_nothing_is_held_and_nothing_gone_on_from(red_video: bytes, blue_video: bytes) -> None:
    with holding(result_cache_bytes=0) as served:
        served.post(red_video, SMALL)
        assert "cached" not in served.post(red_video, SMALL).json()
    with holding(resume_bytes=0) as served:
        served.post(red_video, SMALL)
        answer = served.post(red_video, LARGE).json()
        assert answer["compute"]["spent_gflops"] == 0.18
        assert served.metric("fovea_resumable_bytes") == 0
    with holding(result_cache_bytes=3000) as served:  # room for one
        for video in (red_video, blue_video):
            served.post(video, SMALL)
        assert 0 < served.metric("fovea_result_cache_bytes") <= 3000
        assert "cached" in served.post(blue_video, SMALL).json()


@pytest.mark.redis
def test_replicas_find_each_others_answers_and_a_redis_that_is_away_costs_nothing_else(red_video: bytes) -> None:
    with redis_server() as redis, holding(redis_url=redis.url) as one, holding(redis_url=redis.url) as other:
        one.post(red_video, SMALL)
        one.wait_for_metric(0, "fovea_requests_running")
        answer = other.post(red_video, SMALL).json()
        assert (answer["cached"], answer["compute"]["spent_gflops"]) == (True, 0)
        assert batches(other) == []
        answer = other.post(red_video, LARGE).json()
        assert answer["compute"]["spent_gflops"] == 0.18, "what it would go on from lies at the other"
        redis.kill()
        assert one.post(red_video, SMALL).json()["cached"], "what is held here is found"
        answer = one.post(red_video, "?budget_gflops=0.18", **{"Content-Type": "video/mp4"})
        assert answer.status_code == 200
        assert json.loads(answer.text)["compute"]["resumed_from_step"] == 0
