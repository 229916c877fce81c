"""Whom a job tells: signed messages, tried again, refused addresses, dead letters; in one process and over Redis."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.receiver import Receiver, Reply, receiving
from tests.serving import Served, serving

from .asking import ended, hand_in, problem, submitted, wait_for
from .conftest import SECRET

LOOPBACK = {"webhook_http": True, "webhook_allowed_networks": "127.0.0.0/8"}
QUICK = {"webhook_secret": SECRET, "webhook_timeout_s": 0.5, "webhook_attempts": 3, "webhook_backoff_s": 0.1}

Telling = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def telling(kept_in: dict[str, Any]) -> Telling:
    return lambda **more: serving(**QUICK | LOOPBACK | kept_in | more)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def deliveries(served: Served, path: str, *states: str) -> list[dict[str, Any]]:
    """Those of a job, once all of them are in one of those states."""
    while True:
        job = wait_for(served.client, path, "succeeded", "failed", "cancelled")
        if job["deliveries"] and all(one["state"] in states for one in job["deliveries"]):
            found: list[dict[str, Any]] = job["deliveries"]
            return found


def test_a_receiver_is_told_of_what_it_asked_for_signed_and_once(
    telling: Telling, receiver: Receiver, red_video: bytes
) -> None:
    with telling() as served:
        path = submitted(served.client, red_video, f"?webhook_url={receiver.url}&webhook_events=state,result,done")
        told = receiver.wait_for(3)
        assert {one["state"] for one in deliveries(served, path, "delivered")} == {"delivered"}
    said = {one.verified(SECRET)["type"]: one.json["data"] for one in told}
    assert sorted(said) == ["job.done", "job.result", "job.state"]
    assert said["job.state"]["state"] == "running"
    assert said["job.done"]["id"] == path.rpartition("/")[2]
    assert said["job.done"]["result"]["predictions"][0]["label"] == "red"
    assert {one.headers["webhook-id"] for one in told} == {
        f"{path.rpartition('/')[2]}.{event}" for event in ("state", "result", "done")
    }
    assert told[0].path == "/hook?token=secret"
    assert told[0].headers["host"] == receiver.url.split("/")[2]
    assert len(receiver.received) == 3
    with pytest.raises(WebhookVerificationError):
        told[0].verified("whsec_" + "b3RoZXJz" * 4)


def test_a_job_that_failed_tells_so(telling: Telling, receiver: Receiver) -> None:
    with telling() as served:
        submitted(served.client, b"no video" * 50, f"?webhook_url={receiver.url}&webhook_events=result,done")
        (told,) = receiver.wait_for(1)
    assert (told.json["type"], told.json["data"]["state"]) == ("job.done", "failed")
    assert told.json["data"]["problem"]["type"] == "/problems/video-unreadable"


def test_a_receiver_that_fails_is_told_again_with_the_same_id(telling: Telling, red_video: bytes) -> None:
    with receiving(lambda number: Reply(500 if number < 2 else 200)) as receiver, telling() as served:
        path = submitted(served.client, red_video, f"?webhook_url={receiver.url}")
        told = receiver.wait_for(3)
        (delivery,) = deliveries(served, path, "delivered")
        assert (delivery["attempts"], delivery["status"], delivery["error"]) == (3, 200, None)
        assert len({one.headers["webhook-id"] for one in told}) == 1
        assert len({one.body for one in told}) == 1
        assert served.metric("fovea_webhook_deliveries_total", outcome="failed") == 2
        assert served.metric("fovea_webhook_deliveries_total", outcome="delivered") == 1


@pytest.mark.parametrize(
    ("reply", "attempts", "status", "why"),
    [
        pytest.param(Reply(500), 3, 500, "answered 500", id="one that always fails"),
        pytest.param(Reply(after_s=20), 3, None, "did not answer within 0.5 s", id="one that hangs"),
        pytest.param(
            Reply(302, {"Location": "http://127.0.0.1:9/"}),
            1,
            302,
            "redirects are not followed",
            id="one that redirects",
        ),
        pytest.param(Reply(410), 1, 410, "it wants no more", id="one that is gone"),
    ],
)
def test_a_message_that_cannot_be_delivered_is_a_dead_letter_of_its_job(
    red_video: bytes, reply: Reply, attempts: int, status: int | None, why: str
) -> None:
    with receiving(lambda number: reply) as receiver, serving(**QUICK | LOOPBACK) as served:
        path = submitted(served.client, red_video, f"?webhook_url={receiver.url}")
        (delivery,) = deliveries(served, path, "dead")
        assert (delivery["attempts"], delivery["status"]) == (attempts, status)
        assert why in delivery["error"]
        assert len(receiver.received) == attempts
        assert ended(served.client, path)["state"] == "succeeded"  # that is the receiver's loss
        assert served.metric("fovea_webhook_deliveries_total", outcome="dead") == 1


def test_a_slow_receiver_is_told_and_holds_up_nobody(red_video: bytes) -> None:
    with (
        receiving(lambda number: Reply(after_s=1.0)) as slow,
        receiving() as quick,
        serving(**QUICK | LOOPBACK | {"webhook_timeout_s": 20.0}) as served,
    ):
        paths = [submitted(served.client, red_video, f"?webhook_url={slow.url}") for _ in range(3)]
        submitted(served.client, red_video, f"?webhook_url={quick.url}")
        quick.wait_for(1)
        assert [deliveries(served, path, "delivered")[0]["attempts"] for path in paths] == [1, 1, 1]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1/", "loopback"),
        ("https://localhost/", "loopback"),
        ("https://[::1]/", "loopback"),
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://10.1.2.3/", "private"),
        ("https://169.254.169.254/latest", "link-local"),
        ("http://93.184.216.34/", "https://"),
        ("ftp://example.org/", "https://"),
        ("https://user:password@example.org/", "neither a user"),
        ("https:///path", "https://host/path"),
    ],
)
def test_addresses_that_are_refused_are_refused_when_the_job_is_handed_in(
    refusing: Served, red_video: bytes, url: str, why: str
) -> None:
    answer = refusing.client.post(
        "/v1/recognitions",
        params={"webhook_url": url},
        content=red_video,
        headers={"Content-Type": "video/mp4", "Prefer": "respond-async"},
    )
    assert (answer.status_code, problem(answer)) == (422, "invalid-option")
    assert why in answer.json()["detail"]
    assert "password" not in answer.text


@pytest.fixture(scope="module")
def refusing() -> Iterator[Served]:
    with serving(**QUICK) as served:
        yield served


def test_a_name_that_comes_to_mean_another_address_is_refused_when_it_is_told(
    red_video: bytes, receiver: Receiver
) -> None:
    """DNS rebinding: what passed when the job was handed in is looked at again, and what passed is connected to."""
    with serving(**QUICK) as served:
        names = iter([["93.184.216.34"]])
        served.app.state.targets.names._lookup = lambda name: next(names, ["127.0.0.1"])
        port = receiver.url.split(":")[2].split("/")[0]
        path = submitted(served.client, red_video, f"?webhook_url=https://rebound.example:{port}/")
        (delivery,) = deliveries(served, path, "dead")
    assert "loopback" in delivery["error"]
    assert receiver.received == []


def test_events_that_there_are_not_are_refused(refusing: Served, red_video: bytes) -> None:
    answer = hand_in(refusing.client, red_video, "?webhook_url=https://example.org/&webhook_events=done,often")
    assert (answer.status_code, problem(answer)) == (422, "invalid-option")
    assert "state, result, done" in answer.json()["detail"]


def test_messages_that_wait_outlive_the_process(red_video: bytes, tmp_path: Any) -> None:
    settings = QUICK | LOOPBACK | {"state_dir": tmp_path, "webhook_backoff_s": 1.0}
    with receiving(lambda number: Reply(503 if number == 0 else 200)) as receiver:
        with serving(**settings) as served:
            path = submitted(served.client, red_video, f"?webhook_url={receiver.url}")
            receiver.wait_for(1)
            deliveries(served, path, "pending")
        with serving(**settings) as served:
            receiver.wait_for(2)
            assert deliveries(served, path, "delivered")[0]["attempts"] == 2
