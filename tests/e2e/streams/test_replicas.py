"""Replicas that share a Redis: one ends, dies or is cut off, Redis itself dies, and cameras go on being watched."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psutil
import pytest
import redis as redis_client

from fovea._calls import new_stream_id
from tests.cameras import Camera, camera
from tests.proxy import proxy
from tests.redis_server import RedisServer, redis_server
from tests.replica import Replica
from tests.serving import serving
from tests.streaming import PATIENCE_S, Follower, following, free_port, ids_rise, subscribe

from .conftest import FPS, LOOPBACK, footage

RESUME_S = 10.0
BUSY_MACHINE = 6  # times as long as promised
LEASE_S = 5.0  # the default
LONG_LEASE_S = 60.0  # so long that nobody waits for it to be over

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def started(redis: RedisServer) -> Iterator[list[Replica]]:
    with ExitStack() as stack:
        yield [stack.enter_context(starting(redis.url)) for _ in range(2)]


@pytest.fixture
def replicas(started: list[Replica]) -> list[Replica]:
    """Two that are up: starting one takes seconds, so those that a test has left alive serve the next one, too."""
    return up(started)


@pytest.fixture
def cam() -> Iterator[Camera]:
    with camera(footage(), fps=FPS) as playing:
        yield playing


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """For replicas that must not share with others'."""
    with redis_server() as server:
        yield server


def starting(redis_url: str, models: Sequence[str] = ("tiny",), **settings: object) -> Replica:
    usual = {"redis_url": redis_url, "stream_allowed_networks": LOOPBACK, "stream_lease_s": LEASE_S}
    return Replica(free_port(), usual | settings, models=models)


def up(some: list[Replica]) -> list[Replica]:
    for one in some:
        if not one.is_alive:
            one.start()
    for one in some:
        one.wait_until_ready()
    return some


def wait_until(holds: Callable[[], bool], what: Callable[[], object] = lambda: "it did not happen") -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_s, what()
        time.sleep(0.1)


def until_all_are_live(followers: list[Follower]) -> None:
    for follower in followers:
        follower.wait_for_result()


def since_now(follower: Follower, timeout_s: float = PATIENCE_S) -> float:
    """Wait for a result that is appended after this call; when it came (monotonic)."""
    since = time.time() * 1000
    return follower.wait_for(lambda one: one.name == "result" and one.key[0] > since, timeout_s).at_s


def delete(client_of: Replica, *streams: str) -> None:
    for stream in streams:
        assert client_of.client.delete(f"/v1/streams/{stream}").status_code == 204


def test_a_killed_replicas_cameras_go_on_elsewhere_and_no_id_is_used_twice(
    replicas: list[Replica], cam: Camera
) -> None:
    victim, survivor = replicas
    streams = [subscribe(victim.client, cam.url()) for _ in range(4)]
    with ExitStack() as stack:
        # followed at the survivor, whoever watches
        followers = [stack.enter_context(following(survivor.client, stream, "0-0")) for stream in streams]
        until_all_are_live(followers)
        wait_until(
            lambda: (victim.watched, survivor.watched) == (2, 2),
            lambda: f"cameras are not shared out: {victim.watched}, {survivor.watched}",
        )
        epochs = {follower: follower.wait_for_result().data["epoch"] for follower in followers}
        children = victim.children
        victim.kill()
        killed_s = time.monotonic()
        resumed = [since_now(follower, BUSY_MACHINE * RESUME_S) - killed_s for follower in followers]
        moved = [follower for follower in followers if follower.heard[-1].data["epoch"] > epochs[follower]]
        print(f"results again after {max(resumed):.1f} s")
        assert len(moved) >= 2
        assert max(resumed) < BUSY_MACHINE * RESUME_S
        assert all(ids_rise(follower.heard) for follower in followers)
        assert survivor.watched == 4
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a camera's process outlived its replica"
        # what was told before the death is told again to whoever asks the survivor, in the same order
        with following(survivor.client, streams[0], "0-0") as late:
            told = [late.next() for _ in range(5)]
        assert [one.id for one in told if one] == [one.id for one in followers[0].heard if one.id is not None][:5]
    delete(survivor, *streams)


@pytest.mark.parametrize("away_s", [0.0, 1.5 * LEASE_S])
def test_a_restarted_redis_that_forgot_everything_gets_it_back_without_help(
    redis: RedisServer, replicas: list[Replica], cam: Camera, away_s: float
) -> None:
    """Also where it was away for longer than a lease, and all have let go."""
    stream = subscribe(replicas[0].client, cam.url())
    with ExitStack() as stack:
        followers = [stack.enter_context(following(one.client, stream, "0-0")) for one in replicas]
        until_all_are_live(followers)
        redis.kill()
        assert replicas[0].client.get("/v1/streams").status_code == 503
        assert replicas[0].client.get("/livez").status_code == 200
        for one in replicas:
            wait_until(lambda one=one: one.metric("fovea_state_up") == 0)
        time.sleep(away_s)
        redis.start()
        for follower in followers:
            since_now(follower)
            assert ids_rise(follower.heard)
            epochs = [one.data["epoch"] for one in follower.heard if one.name == "result"]
            assert epochs == sorted(epochs), "an epoch went back"
    for one in replicas:
        (answer,) = one.client.get("/v1/streams").json()["streams"]
        assert answer["id"] == stream
        assert one.metric("fovea_state_up") == 1
    delete(replicas[1], stream)
    time.sleep(3)  # longer than a turn of the holder, which could put it back
    assert replicas[0].client.get("/v1/streams").json()["streams"] == []


def test_a_stream_deleted_just_before_redis_forgot_is_no_zombie(
    redis: RedisServer, replicas: list[Replica], cam: Camera
) -> None:
    """Its holder, who has not heard of it, puts it back; whoever deleted it deletes it again."""
    stream = subscribe(replicas[0].client, cam.url())
    with following(replicas[0].client, stream, "0-0") as follower:
        follower.wait_for_result()
    holder, other = replicas if replicas[0].watched else replicas[::-1]
    holder.pause()
    delete(other, stream)
    redis.kill()
    redis.start()
    holder.resume()
    wait_until(lambda: holder.metric("fovea_state_up") == 1 and holder.watched == 0, lambda: holder.log)
    time.sleep(3)  # longer than a turn of both
    for one in replicas:
        assert one.client.get("/v1/streams").json()["streams"] == []
        assert one.watched == 0


def test_a_replica_that_was_paused_writes_nothing_once_another_has_taken_over(
    replicas: list[Replica], cam: Camera
) -> None:
    first, second = replicas
    stream = subscribe(first.client, cam.url())
    with following(first.client, stream, "0-0") as follower:
        before = follower.wait_for_result().data["epoch"]
    paused, other = (first, second) if first.watched else (second, first)
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
    delete(other, stream)


def test_a_create_that_may_have_come_through_is_asked_again_and_makes_one_stream(
    redis: RedisServer, replicas: list[Replica], cam: Camera
) -> None:
    """Redis takes the order, and answers too late."""
    first, second = replicas
    body = {"id": new_stream_id(), "url": cam.url(), "window_s": 2.0}
    redis.pause()
    try:
        assert first.client.post("/v1/streams", json=body).status_code == 503
    finally:
        redis.resume()
    for one in (first, second):
        answer = one.client.post("/v1/streams", json=body)
        assert (answer.status_code, answer.json()["id"]) == (201, body["id"])
    assert [one["id"] for one in first.client.get("/v1/streams").json()["streams"]] == [body["id"]]
    refused = second.client.post("/v1/streams", json=body | {"window_s": 3.0})
    assert (refused.status_code, refused.json()["option"]) == (422, "id")
    delete(second, str(body["id"]))
    refused = first.client.post("/v1/streams", json=body)
    assert (refused.status_code, refused.json()["option"]) == (422, "id")
    assert "was deleted a short time ago" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://:secret@127.0.0.1:{port}/0", "Redis refuses the user or password of FOVEA_REDIS_URL"),
        ("http://:secret@127.0.0.1:{port}/0", "FOVEA_REDIS_URL is no URL of a Redis"),
        ("redis://:right@127.0.0.1:{port}/99", "Redis at FOVEA_REDIS_URL refuses"),
    ],
)
def test_a_redis_that_is_of_no_use_is_told_at_start(own_redis: RedisServer, url: str, sentence: str) -> None:
    with redis_client.Redis.from_url(own_redis.url) as client:
        client.config_set("requirepass", "right")
    with serving(redis_url=url.format(port=own_redis.port), ready=False) as service:
        wait_until(lambda: sentence in service.client.get("/readyz").text)
        answer = service.client.get("/readyz")
        assert (answer.status_code, "secret" in answer.text) == (503, False)


def test_a_replica_that_ends_hands_its_cameras_over_at_once(own_redis: RedisServer, cam: Camera) -> None:
    """Leases would last for a minute: that nobody waits for it shows that they, and its share, are given up."""
    with ExitStack() as stack:
        both = [stack.enter_context(starting(own_redis.url, stream_lease_s=LONG_LEASE_S)) for _ in range(2)]
        leaving, other = up(both)
        streams = [subscribe(leaving.client, cam.url()) for _ in range(3)]
        followers = [stack.enter_context(following(other.client, stream, "0-0")) for stream in streams]
        until_all_are_live(followers)
        wait_until(lambda: leaving.watched + other.watched == 3 and leaving.watched > 0)
        if other.watched == 0:  # it came second, and its share with the next turn
            wait_until(lambda: other.watched > 0)
        epochs = {follower: follower.wait_for_result().data["epoch"] for follower in followers}
        leaving.terminate()
        gone_s = time.monotonic()
        resumed = [since_now(follower) - gone_s for follower in followers]
        print(f"results of all again {max(resumed):.1f} s after the end; a turn is {LONG_LEASE_S / 4:g} s")
        assert max(resumed) < 0.75 * LONG_LEASE_S
        moved = [follower for follower in followers if follower.heard[-1].data["epoch"] > epochs[follower]]
        assert moved
        for follower in moved:
            assert "waiting" in [one.data.get("state") for one in follower.heard]  # it said good-bye


def test_a_replica_that_is_cut_off_from_redis_lets_go_by_its_own_clock(own_redis: RedisServer, cam: Camera) -> None:
    with ExitStack() as stack:
        line = stack.enter_context(proxy(own_redis.port))
        lonely = stack.enter_context(starting(f"redis://127.0.0.1:{line.port}/0"))
        up([lonely])
        stream = subscribe(lonely.client, cam.url())
        with following(lonely.client, stream, "0-0") as follower:
            before = follower.wait_for_result().data["epoch"]
        wait_until(lambda: lonely.watched == 1)
        line.cut()
        cut_s = time.monotonic()
        wait_until(lambda: lonely.watched == 0, lambda: lonely.log)
        print(f"let go {time.monotonic() - cut_s:.1f} s after the cut; the lease is {LEASE_S:g} s")
        assert "its lease could not be renewed and is over; letting go" in lonely.log
        other = stack.enter_context(starting(own_redis.url))
        up([other])
        with following(other.client, stream, "0-0") as follower:
            taken = follower.wait_for_result(lambda data: data["epoch"] > before)
            line.mend()
            wait_until(lambda: lonely.metric("fovea_state_up") == 1, lambda: lonely.log)
            results = [follower.wait_for_result() for _ in range(4)]
            assert ids_rise(follower.heard)
        assert lonely.watched + other.watched == 1, "two watch one camera"
        assert results[0].data["epoch"] >= taken.data["epoch"]


def test_a_replica_that_was_cut_off_goes_on_where_nobody_has_taken_over(own_redis: RedisServer, cam: Camera) -> None:
    with ExitStack() as stack:
        line = stack.enter_context(proxy(own_redis.port))
        lonely = stack.enter_context(starting(f"redis://127.0.0.1:{line.port}/0"))
        up([lonely])
        stream = subscribe(lonely.client, cam.url())
        with following(lonely.client, stream, "0-0") as follower:
            before = follower.wait_for_result().data["epoch"]
            wait_until(lambda: lonely.watched == 1)
            line.cut()
            wait_until(lambda: lonely.watched == 0, lambda: lonely.log)
            line.mend()
            follower.wait_for_result(lambda data: data["epoch"] > before)
            assert ids_rise(follower.heard)


def test_a_snapshot_can_be_had_from_any_replica(own_redis: RedisServer, cam: Camera) -> None:
    settings = {"redis_url": own_redis.url, "stream_allowed_networks": LOOPBACK}
    with serving(**settings) as first, serving(**settings) as second:
        stream = subscribe(first.client, cam.url())
        for service in (first, second):
            path = f"/v1/streams/{stream}/snapshot"
            wait_until(lambda service=service, path=path: service.client.get(path).status_code == 200)
            assert service.client.get(path).content.startswith(b"\xff\xd8")
        held = [stream in service.app.state.supervisor.held for service in (first, second)]
        assert sorted(held) == [False, True]


def test_unlike_replicas_share_what_each_can_serve_and_the_log_says_what_nobody_can(
    own_redis: RedisServer, cam: Camera
) -> None:
    with ExitStack() as stack:
        both = stack.enter_context(starting(own_redis.url, models=("tiny", "other")))
        only = stack.enter_context(starting(own_redis.url, models=("tiny",)))
        up([both, only])
        streams = [subscribe(both.client, cam.url(), model=model) for model in ("tiny", "tiny", "other", "other")]
        wait_until(
            lambda: (both.watched, only.watched) == (2, 2), lambda: f"{both.watched}, {only.watched}\n{both.log}"
        )
        held = {stream: both.client.get(f"/v1/streams/{stream}").json()["status"]["state"] for stream in streams}
        assert set(held.values()) == {"live"}
        both.terminate()
        wait_until(lambda: "is watched by nobody: no replica has loaded its model 'other'" in only.log)
        for stream in streams[2:]:
            assert f"stream {stream} is watched by nobody" in only.log
            assert only.client.get(f"/v1/streams/{stream}").json()["status"]["state"] == "waiting"
        wait_until(lambda: only.watched == 2)


def test_the_first_one_up_does_not_take_more_than_it_can(own_redis: RedisServer, cam: Camera) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(starting(own_redis.url, max_replica_streams=2))
        up([first])
        streams = [subscribe(first.client, cam.url()) for _ in range(3)]
        wait_until(lambda: first.watched == 2)
        wait_until(lambda: "every replica that has its model is at its capacity" in first.log)
        assert first.log.count("is watched by nobody") == 1, "once is enough"
        second = stack.enter_context(starting(own_redis.url, max_replica_streams=2))
        up([second])
        wait_until(lambda: (first.watched, second.watched) in {(2, 1), (1, 2)})
        for stream in streams:
            assert second.client.get(f"/v1/streams/{stream}").json()["status"]["state"] == "live"
