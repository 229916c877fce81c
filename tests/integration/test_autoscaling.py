"""What KEDA is told to look at is there: the stream of jobs, in a real Redis."""

import asyncio
from collections.abc import Iterator

import pytest
import redis.asyncio

from fovea.errors import Unavailable
from service.jobs.queue import Queue
from service.settings import Settings
from service.wiring.working import open_queue
from tests.integration.test_deployment import rendered
from tests.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def test_the_stream_s_length_is_the_number_of_jobs_that_wait_or_are_at_work(server: RedisServer) -> None:
    triggers = rendered("ScaledObject", "overlays/keda")["spec"]["triggers"]
    (jobs,) = [one["metadata"] for one in triggers if one["type"] == "redis-streams"]
    assert "consumerGroup" not in jobs, "with one, KEDA counts what is at work alone"
    queue = open_queue(Settings(redis_url=server.url), "jobs", concurrency=1, lease_s=5.0)
    at_work, go_on, num_done = asyncio.Event(), asyncio.Event(), 0

    async def work(item: str) -> None:
        nonlocal num_done
        at_work.set()
        await go_on.wait()
        num_done += 1

    async def length_becomes(wanted: int) -> None:
        async with asyncio.timeout(30):
            while await client.xlen(jobs["stream"]) != wanted:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(0.02)

    async with redis.asyncio.from_url(server.url) as client:
        queue.start(work)
        try:
            for item in ("a", "b", "c"):
                await _put(queue, item)
            await asyncio.wait_for(at_work.wait(), 30)
            await length_becomes(3)
            assert num_done == 0
            go_on.set()
            await length_becomes(0)
            assert num_done == 3
        finally:
            go_on.set()
            await queue.close()


async def _put(queue: Queue, item: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await queue.put(item)
                return
            except Unavailable:  # it is being opened
                await asyncio.sleep(0.05)


def test_keda_logs_in_with_the_password_that_the_pods_use() -> None:
    given = rendered("TriggerAuthentication", "overlays/keda")["spec"]["secretTargetRef"]
    assert given == [{"parameter": "password", "name": "fovea-redis", "key": "password"}]
    redis_pod = rendered("StatefulSet", "overlays/keda", name="redis")["spec"]["template"]["spec"]
    env = redis_pod["containers"][0]["env"]
    assert env[0]["valueFrom"]["secretKeyRef"] == {"name": "fovea-redis", "key": "password"}
