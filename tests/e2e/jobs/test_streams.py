"""What streams have of jobs: a receiver that is told, and a key by which a subscription is made once."""

import time

from tests.receiver import receiving
from tests.serving import serving

from .asking import problem
from .conftest import SECRET

AWAY = "rtsp://127.0.0.1:9/x"  # nobody is there
SETTINGS = {
    "stream_allowed_networks": "127.0.0.0/8",
    "stream_ports": "1-65535",
    "webhook_secret": SECRET,
    "webhook_http": True,
    "webhook_allowed_networks": "127.0.0.0/8",
}


def test_a_receiver_hears_how_a_camera_is_and_that_its_stream_is_deleted() -> None:
    with receiving() as receiver, serving(**SETTINGS) as served:
        asked = {"url": AWAY, "webhook_url": receiver.url, "webhook_events": ["state", "done"]}
        stream = served.client.post("/v1/streams", json=asked).json()
        assert stream["webhook_url"] == f"{receiver.url.partition('/hook')[0]}/…"
        assert stream["webhook_events"] == ["state", "done"]
        receiver.wait_for(2)
        assert served.client.delete(f"/v1/streams/{stream['id']}").status_code == 204
        give_up_s = time.monotonic() + 30
        while "stream.done" not in [one.json["type"] for one in receiver.received]:
            assert time.monotonic() < give_up_s
            time.sleep(0.02)
        told = [one.verified(SECRET) for one in receiver.received]
    assert {one["data"]["stream"] for one in told} == {stream["id"]}
    states = [one["data"]["state"] for one in told if one["type"] == "stream.state"]
    assert {"connecting", "reconnecting"} <= set(states)
    assert [one["data"]["state"] for one in told if one["type"] == "stream.done"] == ["deleted"]


def test_a_receiver_that_is_refused_makes_no_stream() -> None:
    with serving(**SETTINGS | {"webhook_allowed_networks": ""}) as served:
        answer = served.client.post("/v1/streams", json={"url": AWAY, "webhook_url": "http://127.0.0.1/hook"})
        assert (answer.status_code, problem(answer)) == (422, "invalid-option")
        assert served.client.get("/v1/streams").json()["streams"] == []


def test_the_same_key_makes_one_subscription_and_another_body_is_refused() -> None:
    with serving(**SETTINGS) as served:
        key = {"Idempotency-Key": "front-door"}
        first, again = (served.client.post("/v1/streams", json={"url": AWAY}, headers=key) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["id"] == again.json()["id"]
        other = served.client.post("/v1/streams", json={"url": AWAY, "top_k": 1}, headers=key)
        assert (other.status_code, problem(other)) == (422, "idempotency-key-reused")
        assert len(served.client.get("/v1/streams").json()["streams"]) == 1
