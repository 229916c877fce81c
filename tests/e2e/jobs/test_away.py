"""What jobs lean on goes away: Redis at the start and in flight, the blob store. What is accepted is done anyway."""

import time
from pathlib import Path

import httpx
import pytest

from tests.redis_server import RedisServer
from tests.s3_server import s3_server
from tests.serving import serving
from tests.tiny import Gate, TinyRecognizer

from .asking import PATIENCE_S, ended, hand_in, problem, submitted

pytestmark = pytest.mark.redis


def check_refused_for_now(answer: httpx.Response) -> None:
    assert (answer.status_code, problem(answer)) == (503, "unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1


def test_without_redis_jobs_wait_and_plain_requests_go_on(redis: RedisServer, red_video: bytes, tmp_path: Path) -> None:
    redis.kill()
    with serving(redis_url=redis.url, blobs_url=(tmp_path / "blobs").as_uri(), job_lease_s=2.0) as served:
        check_refused_for_now(hand_in(served.client, red_video))
        check_refused_for_now(served.client.get("/v1/jobs"))
        check_refused_for_now(served.post(red_video, **{"Idempotency-Key": "x"}))
        assert served.post(red_video).status_code == 200
        redis.start()
        path = submitted(served.client, red_video)
        assert ended(served.client, path)["state"] == "succeeded"


def test_a_redis_that_is_stopped_for_a_while_loses_no_job(redis: RedisServer, red_video: bytes, tmp_path: Path) -> None:
    gate = Gate("focus")
    settings = {"redis_url": redis.url, "blobs_url": (tmp_path / "blobs").as_uri(), "job_lease_s": 2.0}
    with serving(TinyRecognizer(gate), **settings) as served:
        path = submitted(served.client, red_video)
        assert gate.reached.wait(30)
        redis.pause()
        try:
            gate.open()  # the answer is made while Redis is away
            check_refused_for_now(hand_in(served.client, red_video))
            assert served.post(red_video).status_code == 200
        finally:
            redis.resume()
        assert ended(served.client, path)["state"] == "succeeded"


def test_a_redis_that_forgets_takes_jobs_again(redis: RedisServer, red_video: bytes, tmp_path: Path) -> None:
    settings = {"redis_url": redis.url, "blobs_url": (tmp_path / "blobs").as_uri(), "job_lease_s": 2.0}
    with serving(**settings) as served:
        before = submitted(served.client, red_video)
        ended(served.client, before)
        redis.kill()
        redis.start()
        path = submitted(served.client, red_video)
        assert ended(served.client, path)["state"] == "succeeded"
        assert served.client.get(before).status_code == 404


def test_replicas_without_a_store_for_all_take_no_jobs(redis: RedisServer, red_video: bytes) -> None:
    with serving(redis_url=redis.url) as served:
        answer = hand_in(served.client, red_video)
        assert (answer.status_code, problem(answer)) == (503, "unavailable")
        assert "FOVEA_BLOBS_URL" in answer.json()["detail"]
        assert served.post(red_video).status_code == 200


def test_a_blob_store_that_goes_away_refuses_new_jobs_and_delays_the_others(
    red_video: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.blobs.store.RETRY_S", 0.2)
    monkeypatch.setattr("service.jobs.runner.AWAY_S", 0.3)
    gate = Gate("focus")
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with serving(TinyRecognizer(gate), job_concurrency=1, blobs_url=server.url) as served:
            first = submitted(served.client, red_video)
            assert gate.reached.wait(30)
            second = submitted(served.client, red_video)
            server.kill()
            check_refused_for_now(hand_in(served.client, red_video))
            assert "127.0.0.1" not in hand_in(served.client, red_video).text
            gate.open()
            assert ended(served.client, first)["state"] == "succeeded"
            give_up_s = time.monotonic() + PATIENCE_S
            while "queued" not in (waiting := served.client.get(second).json())["state"]:
                assert time.monotonic() < give_up_s, waiting
            assert waiting["problem"] is None
            assert served.post(red_video).status_code == 200
