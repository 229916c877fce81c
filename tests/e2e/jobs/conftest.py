"""Jobs in one process and between replicas: the same tests with both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.redis_server import RedisServer, redis_server

SECRET = "whsec_" + "c2VjcmV0" * 4  # 24 bytes


@pytest.fixture(scope="package")
def shared_redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """It runs, also where a test before failed while it was stopped."""
    shared_redis.set_right()
    return shared_redis


@pytest.fixture(params=["embedded", pytest.param("redis", marks=pytest.mark.redis)])
def kept_in(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Settings: where jobs are kept."""
    if request.param == "embedded":
        return {}
    server: RedisServer = request.getfixturevalue("redis")
    server.kill()  # it forgets
    server.start()
    return {"redis_url": server.url, "blobs_url": (tmp_path / "blobs").as_uri(), "job_lease_s": 2.0}
