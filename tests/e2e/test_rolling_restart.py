"""Three replicas behind a balancer, one Redis: each is replaced while clients go on asking, and nobody notices."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.balancer import balancing
from tests.e2e.jobs.asking import ended
from tests.keys import key_file
from tests.redis_server import redis_server
from tests.replica import Replica
from tests.rolling import START_S, roll
from tests.streaming import free_port

pytestmark = [pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(900)]


def test_all_replicas_are_replaced_under_load_and_no_request_fails(red_video: bytes, tmp_path: Path) -> None:
    secrets = key_file(tmp_path / "keys.json", desk={})
    headers = {"Authorization": f"Bearer {secrets['desk']}"}
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server())
        settings = {
            "redis_url": redis.url,
            "blobs_url": (tmp_path / "blobs").as_uri(),
            "api_keys_file": str(tmp_path / "keys.json"),
            "job_lease_s": 2.0,
        }
        ports = [free_port() for _ in range(3)]
        replicas = [stack.enter_context(Replica(port, settings)) for port in ports]
        for replica in replicas:
            replica.start()
        balancer = stack.enter_context(balancing(ports))
        for number, replica in enumerate(replicas):
            replica.wait_until_ready(START_S)
            balancer.wait_until_up(number)
        asked = roll(balancer, replicas, red_video, headers=headers)
        assert asked.failed == {}, asked.outcomes
        assert asked.outcomes["200"] > 30
        assert len(asked.jobs) > 5
        for number, path in enumerate(asked.jobs):
            client = replicas[number % 3].client  # whichever took it, any tells of it
            client.headers.update(headers)
            assert ended(client, path)["state"] == "succeeded"
