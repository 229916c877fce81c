"""Accepted jobs outlive their processes: each ends with exactly one result, whoever is killed or drained meanwhile."""

import random
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.jobs.surviving import Crowd, Outcome, survive
from tests.redis_server import redis_server
from tests.replica import Replica

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NUM_JOBS = 60
LEASE_S = 2.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def check(outcome: Outcome) -> None:
    print(f"\n{outcome.summary()}")
    assert outcome.states == {"succeeded": NUM_JOBS}
    assert outcome.num_distinct == NUM_JOBS
    assert set(outcome.results_told) == {1}
    assert outcome.recovery_s, "nothing was interrupted: the test shows nothing"


def test_one_process_that_is_killed_five_times_loses_no_job(red_video: bytes) -> None:
    def kill_five_times(crowd: Crowd, about_to_end: Callable[[], None]) -> None:
        (replica,) = crowd.replicas
        for _ in range(5):
            time.sleep(random.uniform(0.5, 1.5))
            about_to_end()
            replica.kill()
            replica.start()
            replica.wait_until_ready()

    with Replica(free_port(), {"pause_s": 0.05, "job_lease_s": LEASE_S, "job_max_attempts": 20}) as replica:
        replica.start()
        replica.wait_until_ready()
        check(survive(Crowd([replica]), red_video, NUM_JOBS, kill_five_times))


@pytest.mark.redis
def test_replicas_that_are_killed_and_drained_lose_no_job(red_video: bytes, tmp_path: Path) -> None:
    def kill_and_drain(crowd: Crowd, about_to_end: Callable[[], None]) -> None:
        for number in range(5):
            time.sleep(random.uniform(0.5, 1.5))
            replica = random.choice(crowd.replicas)
            about_to_end()
            if number % 2:
                replica.terminate()
            else:
                replica.kill()
            replica.start()
            replica.wait_until_ready()

    with redis_server() as redis, ExitStack() as stack:
        settings = {
            "redis_url": redis.url,
            "blobs_url": (tmp_path / "blobs").as_uri(),
            "pause_s": 0.05,
            "job_lease_s": LEASE_S,
            "job_max_attempts": 20,
            "drain_timeout_s": 2.0,
        }
        replicas = [stack.enter_context(Replica(free_port(), settings)) for _ in range(3)]
        for replica in replicas:
            replica.start()
        for replica in replicas:
            replica.wait_until_ready()
        check(survive(Crowd(replicas), red_video, NUM_JOBS, kill_and_drain))
