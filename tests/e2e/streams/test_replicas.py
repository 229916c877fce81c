"""Replicas that share a Redis: one dies, Redis itself dies, and cameras go on being watched."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.cameras import Camera, camera
from tests.redis_server import RedisServer, redis_server
from tests.replica import Replica
from tests.streaming import PATIENCE_S, Follower, following, free_port, ids_rise, subscribe

from .conftest import FPS, LOOPBACK, footage

RESUME_S = 10.0
BUSY_MACHINE = 6  # times as long as promised
LEASE_S = 5.0  # the default

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def started(redis: RedisServer) -> Iterator[list[Replica]]:
    with ExitStack() as stack:
        yield [stack.enter_context(starting(redis)) for _ in range(2)]


@pytest.fixture
def replicas(started: list[Replica]) -> list[Replica]:
    """Two that are up: starting one takes seconds, so those that a test has left alive serve the next one, too."""
    for one in started:
        if not one.is_alive:
            one.start()
    for one in started:
        one.wait_until_ready()
    return started


def starting(redis: RedisServer) -> Replica:
    settings = {"redis_url": redis.url, "stream_allowed_networks": LOOPBACK, "stream_lease_s": LEASE_S}
    return Replica(free_port(), settings)


@pytest.fixture
def cam() -> Iterator[Camera]:
    with camera(footage(), fps=FPS) as playing:
        yield playing


def watched_by(one: Replica) -> float:
    """Cameras that it has pictures of, by its metrics."""
    text = one.client.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith('fovea_stream_state{state="live"}')]
    return float(lines[0].split()[-1]) if lines else 0.0


def until_all_are_live(followers: list[Follower]) -> None:
    for follower in followers:
        follower.wait_for_result()


def test_a_killed_replicas_cameras_go_on_elsewhere_and_no_id_is_used_twice(
    replicas: list[Replica], cam: Camera
) -> None:
    victim, survivor = replicas
    streams = [subscribe(victim.client, cam.url()) for _ in range(4)]
    with ExitStack() as stack:
        # followed at the survivor, whoever watches
        followers = [stack.enter_context(following(survivor.client, stream, "0-0")) for stream in streams]
        until_all_are_live(followers)
        give_up_s = time.monotonic() + PATIENCE_S
        while (held := (watched_by(victim), watched_by(survivor))) != (2, 2):
            assert time.monotonic() < give_up_s, f"cameras are not shared out: {held}"
            time.sleep(0.1)
        epochs = {}
        for follower in followers:
            epochs[follower] = follower.wait_for_result().data["epoch"]
        children = victim.children
        victim.kill()
        killed_s = time.monotonic()
        resumed = []
        for follower in followers:
            since = time.time() * 1000
            heard = follower.wait_for(
                lambda one, since=since: one.name == "result" and one.key[0] > since, BUSY_MACHINE * RESUME_S
            )
            resumed.append(heard.at_s - killed_s)
        moved = [follower for follower in followers if follower.heard[-1].data["epoch"] > epochs[follower]]
        print(f"results again after {max(resumed):.1f} s")
        assert len(moved) >= 2
        assert max(resumed) < BUSY_MACHINE * RESUME_S
        assert all(ids_rise(follower.heard) for follower in followers)
        assert watched_by(survivor) == 4
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a camera's process outlived its replica"
        # what was told before the death is told again to whoever asks the survivor, in the same order
        with following(survivor.client, streams[0], "0-0") as late:
            told = [late.next() for _ in range(5)]
        assert [one.id for one in told if one] == [one.id for one in followers[0].heard if one.id is not None][:5]
    for stream in streams:
        survivor.client.delete(f"/v1/streams/{stream}")


def test_a_restarted_redis_that_forgot_everything_gets_it_back_without_help(
    redis: RedisServer, replicas: list[Replica], cam: Camera
) -> None:
    stream = subscribe(replicas[0].client, cam.url())
    with ExitStack() as stack:
        followers = [stack.enter_context(following(one.client, stream, "0-0")) for one in replicas]
        until_all_are_live(followers)
        redis.kill()
        assert replicas[0].client.get("/v1/streams").status_code == 503
        assert replicas[0].client.get("/livez").status_code == 200
        redis.start()
        since = time.time() * 1000
        for follower in followers:
            follower.wait_for(lambda one: one.name == "result" and one.key[0] > since)
            assert ids_rise(follower.heard)
    for one in replicas:
        (answer,) = one.client.get("/v1/streams").json()["streams"]
        assert answer["id"] == stream
    assert replicas[1].client.delete(f"/v1/streams/{stream}").status_code == 204
    time.sleep(3)  # longer than a turn of the holder, which could put it back
    assert replicas[0].client.get("/v1/streams").json()["streams"] == []


def test_a_replica_that_was_paused_writes_nothing_once_another_has_taken_over(
    replicas: list[Replica], cam: Camera
) -> None:
    first, second = replicas
    stream = subscribe(first.client, cam.url())
    with following(first.client, stream, "0-0") as follower:
        before = follower.wait_for_result().data["epoch"]
    paused, other = (first, second) if watched_by(first) else (second, first)
    paused.pause()
    try:
        with following(other.client, stream, "0-0") as follower:
            taken_over = follower.wait_for_result(lambda data: data["epoch"] > before)
    finally:
        paused.resume()
    with following(other.client, stream, taken_over.id) as follower:
        results = [follower.wait_for_result() for _ in range(6)]
    assert {one.data["epoch"] for one in results} == {taken_over.data["epoch"]}
    assert ids_rise(results)
    other.client.delete(f"/v1/streams/{stream}")


def test_a_replica_that_ends_hands_its_cameras_over_at_once(replicas: list[Replica], cam: Camera) -> None:
    first, second = replicas
    stream = subscribe(first.client, cam.url())
    with following(first.client, stream, "0-0") as follower:
        before = follower.wait_for_result().data["epoch"]
    leaving, other = (first, second) if watched_by(first) else (second, first)
    leaving.terminate()
    with following(other.client, stream, "0-0") as follower:
        follower.wait_for_result(lambda data: data["epoch"] > before)
        assert "waiting" in [one.data.get("state") for one in follower.heard]  # it said good-bye
    other.client.delete(f"/v1/streams/{stream}")
