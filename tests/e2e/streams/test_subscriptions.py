"""The life of a subscription over HTTP: made, followed, replayed, read or forgotten, deleted."""

import io
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import psutil
import pytest
from PIL import Image

from tests.cameras import Camera, camera
from tests.clips import cached_clip, frozen, solid
from tests.serving import Served, serving
from tests.streaming import events_of, following, subscribe

from .conftest import FPS, LOOPBACK, footage


@pytest.fixture(scope="module")
def cam():
    with camera(footage(), fps=FPS) as playing:
        yield playing


def test_a_stream_says_what_was_settled_and_where_it_is(watching: Served, cam: Camera) -> None:
    answer = watching.client.post(
        "/v1/streams", json={"url": cam.url(), "window_s": 2, "stride_s": 0.7, "budget_gflops": 0.15, "top_k": 2}
    )
    assert answer.status_code == 201
    stream = answer.json()
    assert answer.headers["location"] == f"/v1/streams/{stream['id']}"
    assert (stream["model"], stream["budget_gflops"], stream["max_gflops"]) == ("tiny", 0.15, None)
    assert (stream["grid_s"], stream["stride_s"]) == (0.5, 0.5)  # rounded to the grid
    assert stream["status"]["state"] in {"waiting", "connecting"}
    with following(watching.client, stream["id"], "0-0") as follower:
        follower.wait_for_state("connecting")
        live = follower.wait_for_state("live")
        result = follower.wait_for_result()
    assert live.data["stream"] == result.data["stream"] == stream["id"]
    assert live.data["video"]["codec"] == "h264"
    shown = watching.client.get(f"/v1/streams/{stream['id']}").json()
    assert (shown["status"]["state"], shown["status"]["video"]["width"]) == ("live", 320)
    assert stream["id"] in [one["id"] for one in watching.client.get("/v1/streams").json()["streams"]]
    watching.client.delete(f"/v1/streams/{stream['id']}")


def test_a_result_accounts_for_itself(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url(), max_gflops=0.16, top_k=2, decode="all")
    with following(watching.client, stream, "0-0") as follower:
        data = follower.wait_for_result(lambda data: not data["window"]["partial"]).data
        decoded = sum(one.data["frames"]["decoded"] for one in follower.heard if one.name == "result")
    watching.client.delete(f"/v1/streams/{stream}")
    assert data["window"]["end_s"] - data["window"]["start_s"] == 2.0
    assert 0 <= data["frame_age_s"] < 60
    assert data["epoch"] >= 1
    assert data["decode"] == "all"
    assert data["frames"]["distinct"] == 4
    assert decoded >= 4  # as many as the camera sent, where the machine keeps up
    recognition = data["recognition"]
    assert len(recognition["predictions"]) == 2
    assert recognition["compute"]["spent_gflops"] == pytest.approx(
        sum(step["gflops"] for step in recognition["compute"]["steps"])
    )
    assert recognition["compute"]["spent_gflops"] <= 0.16
    assert recognition["exit"]["reason"] == "ceiling"
    assert recognition["video"]["frames_sampled"] == 4


def test_events_come_again_after_the_last_one_heard_none_lost_none_doubled(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url(), stride_s=0.5)
    with following(watching.client, stream, "0-0") as follower:
        for _ in range(5):
            follower.wait_for_result()
        everything = list(follower.heard)
    third = everything[2]
    with following(watching.client, stream, third.id) as follower:
        again = [follower.next() for _ in range(len(everything) - 3)]
    assert [(one.id, one.data) for one in again if one] == [(one.id, one.data) for one in everything[3:]]
    with watching.client.stream("GET", f"/v1/streams/{stream}/events", params={"last_event_id": third.id}) as response:
        assert next(events_of(response.iter_lines())).id == everything[3].id
    watching.client.delete(f"/v1/streams/{stream}")


def test_without_an_id_the_present_state_comes_first_and_then_what_is_new(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url())
    with following(watching.client, stream, "0-0") as follower:
        heard = follower.wait_for_result()
    with following(watching.client, stream) as follower:
        first, second = follower.next(), follower.wait_for_result()
    assert first is not None
    assert (first.name, first.id, first.data["state"]) == ("state", None, "live")
    assert second.key > heard.key
    watching.client.delete(f"/v1/streams/{stream}")


def test_a_deleted_stream_tells_its_followers_and_is_gone(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url())
    with following(watching.client, stream, "0-0") as follower:
        follower.wait_for_state("live")
        assert watching.client.delete(f"/v1/streams/{stream}").status_code == 204
        follower.wait_for_state("deleted")
        assert follower.next() is None
    for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
        answer = watching.client.request(method, f"/v1/streams/{stream}{path}")
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-stream")


def test_on_change_only_another_best_label_is_told(watching: Served) -> None:
    still = cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=2.0, fps=FPS, gop=8, options=frozen(bf="0"))
    with camera(still, footage(), fps=FPS) as cam:
        stream = subscribe(watching.client, cam.url(), on="change")
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result()
            give_up_s = time.monotonic() + 60
            while watching.client.get(f"/v1/streams/{stream}").json()["counts"]["results"] < 8:
                assert time.monotonic() < give_up_s
                time.sleep(0.1)
            assert [one.name for one in follower.heard].count("result") == 1
            cam.tell("next")  # red, green and blue by turns
            labels = [follower.wait_for_result().data["recognition"]["predictions"][0]["label"] for _ in range(2)]
        assert labels[0] != labels[1]
        watching.client.delete(f"/v1/streams/{stream}")


def test_labels_below_the_least_score_are_not_told(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url(), min_score=0.999)
    with following(watching.client, stream, "0-0") as follower:
        data = follower.wait_for_result().data
    assert data["recognition"]["predictions"] == []
    watching.client.delete(f"/v1/streams/{stream}")


def test_a_stream_nobody_reads_ends_by_itself_and_one_that_is_followed_does_not(watching: Served, cam: Camera) -> None:
    unread = subscribe(watching.client, cam.url(), ttl_s=3)
    followed = subscribe(watching.client, cam.url(), ttl_s=3)
    with following(watching.client, followed) as follower:
        give_up_s = time.monotonic() + 60
        while unread in [one["id"] for one in watching.client.get("/v1/streams").json()["streams"]]:
            assert time.monotonic() < give_up_s
            time.sleep(0.2)
        follower.wait_for_result()
    shown = watching.client.get(f"/v1/streams/{followed}").json()
    assert shown["expires_at"] > shown["created_at"]
    watching.client.delete(f"/v1/streams/{followed}")


def test_a_quiet_camera_is_decoded_by_keyframes_until_something_happens(watching: Served) -> None:
    still = cached_clip("red.mp4", pattern=solid(220, 20, 20), seconds=2.0, fps=FPS, gop=8, options=frozen(bf="0"))
    budget = {"budget_gflops": 0.1}  # a glance: always sure enough
    with camera(still, footage(), fps=FPS) as cam:
        stream = subscribe(watching.client, cam.url(), stride_s=0.5, **budget)
        with following(watching.client, stream, "0-0") as follower:
            asleep = follower.wait_for_result(lambda data: data["decode"] == "keyframes")
            quiet = [follower.wait_for_result().data for _ in range(4)]
            windows = len(quiet) + sum(data["windows_dropped"] for data in quiet)
            assert sum(data["frames"]["decoded"] for data in quiet) <= 2 * windows + 2  # of eight a window that came
            cam.tell("next")
            follower.wait_for_result(lambda data: data["decode"] == "all")
            assert asleep.data["epoch"] == follower.heard[-1].data["epoch"]
        watching.client.delete(f"/v1/streams/{stream}")


def test_the_pools_rate_bounds_what_cameras_spend_and_what_is_left_out_is_counted(cam: Camera) -> None:
    rate = 0.4  # GFLOP/s, of which one camera alone wants 0.36 and three want 1.08
    with serving(stream_allowed_networks=LOOPBACK, stream_gflops_per_s=rate) as service:
        streams = [subscribe(service.client, cam.url(), stride_s=0.5) for _ in range(3)]
        for stream in streams:
            with following(service.client, stream, "0-0") as follower:
                follower.wait_for_result()
        began_s, before = time.monotonic(), service.metric("fovea_flops_total", model="tiny")
        time.sleep(6)
        spent = service.metric("fovea_flops_total", model="tiny") - before
        assert spent <= rate * 1e9 * (time.monotonic() - began_s + 2 * 4.0)  # and what had been saved up
        assert service.metric("fovea_stream_windows_dropped_total", reason="budget") > 0


def test_a_name_and_labels_are_told_back(watching: Served) -> None:
    named = {"name": "front door", "labels": {"site": "north", "floor.2": ""}}
    stream = subscribe(watching.client, "rtsp://127.0.0.1:1/x", **named)
    told = watching.client.get(f"/v1/streams/{stream}").json()
    assert {name: told[name] for name in named} == named
    watching.client.delete(f"/v1/streams/{stream}")


@pytest.mark.parametrize(
    "bad",
    [
        {"name": ""},
        {"name": "n" * 65},
        {"name": "two\nlines"},
        {"labels": {"9": "x"}},
        {"labels": {"a b": "x"}},
        {"labels": {"a": "v" * 257}},
        {"labels": {f"a{number}": "" for number in range(17)}},
        {"labels": {"a": 1}},
        {"id": "str_1"},
        {"id": "str_01JD3M8Q4Z6X7V9T2S5R1P0N8U"},
    ],
)
def test_a_name_a_label_or_an_id_that_cannot_be_is_refused(watching: Served, bad: dict[str, object]) -> None:
    answer = watching.client.post("/v1/streams", json={"url": "rtsp://127.0.0.1:1/x", **bad})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-option")


def test_a_snapshot_is_the_cameras_latest_picture(watching: Served, cam: Camera) -> None:
    stream = subscribe(watching.client, cam.url())
    with following(watching.client, stream, "0-0") as follower:
        follower.wait_for_result()
    answer = watching.client.get(f"/v1/streams/{stream}/snapshot")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.width / picture.height == pytest.approx(320 / 180, abs=0.06)
    taken = parsedate_to_datetime(answer.headers["last-modified"])
    assert abs((datetime.now(UTC) - taken).total_seconds()) < 60
    watching.client.delete(f"/v1/streams/{stream}")
    assert watching.client.get(f"/v1/streams/{stream}/snapshot").status_code == 404


def test_one_camera_subscribed_twice_is_opened_once_and_each_ends_for_itself(cam: Camera) -> None:
    with serving(stream_allowed_networks=LOOPBACK) as service:
        first, second = (subscribe(service.client, cam.url(), decode="all", stride_s=stride) for stride in (0.5, 1.0))
        with (
            following(service.client, first, "0-0") as one,
            following(service.client, second, "0-0") as two,
        ):
            for follower in (one, two):
                heard = follower.wait_for_result(lambda data: not data["window"]["partial"])
                window = heard.data["window"]
                assert window["end_s"] - window["start_s"] == 2.0
            assert len(camera_processes()) == 1
            other = subscribe(service.client, cam.url(), window_s=4.0)  # other cells
            with following(service.client, other, "0-0") as three:
                three.wait_for_result()
            assert len(camera_processes()) == 2
            service.client.delete(f"/v1/streams/{first}")
            for _ in range(3):
                two.wait_for_result()
        service.client.delete(f"/v1/streams/{second}")
        service.client.delete(f"/v1/streams/{other}")
        assert camera_processes() == []


def camera_processes() -> list[int]:
    family = psutil.Process().children(recursive=True)
    return [one.pid for one in family if "camera_child" in " ".join(one.cmdline())]


def test_without_a_picture_there_is_no_snapshot(watching: Served) -> None:
    stream = subscribe(watching.client, "rtsp://127.0.0.1:1/x")
    answer = watching.client.get(f"/v1/streams/{stream}/snapshot")
    assert answer.status_code == 503
    assert "there is no picture" in answer.json()["detail"]
    watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_that_is_down_can_be_an_alert_by_its_name(cam: Camera) -> None:
    with serving(stream_allowed_networks=LOOPBACK, camera_metrics=True) as service:
        stream = subscribe(service.client, cam.url(), name="front door")
        series = {"camera": "front door", "stream": stream}
        with following(service.client, stream, "0-0") as follower:
            follower.wait_for_state("live")
            service.wait_for_metric(1, "fovea_camera_up", **series)
            cam.kill()
            follower.wait_for_state("reconnecting")
            service.wait_for_metric(0, "fovea_camera_up", **series)
            cam.restart()
        service.client.delete(f"/v1/streams/{stream}")
        assert "front door" not in service.client.get("/metrics").text
    with serving(stream_allowed_networks=LOOPBACK) as service:
        subscribe(service.client, cam.url(), name="front door")
        time.sleep(1)
        assert "front door" not in service.client.get("/metrics").text, "off unless asked for"


def test_metrics_add_up_to_what_streams_say(cam: Camera) -> None:
    with serving(stream_allowed_networks=LOOPBACK) as service:
        stream = subscribe(service.client, cam.url(), decode="all")
        with following(service.client, stream, "0-0") as follower:
            for _ in range(6):
                follower.wait_for_result()
        assert service.metric("fovea_stream_state", state="live") == 1
        service.client.delete(f"/v1/streams/{stream}")
        with following(service.client, subscribe(service.client, cam.url()), "0-0") as follower:
            follower.wait_for_result()  # so that nothing of the first is still on its way
        assert service.metric("fovea_stream_state", state="live") == 1
        told = sum(one.data["recognition"]["compute"]["spent_gflops"] for one in follower.heard if one.name == "result")
        assert told > 0
        assert service.metric("fovea_stream_frame_age_seconds_count") >= 7
        assert service.metric("fovea_exits_total", model="tiny", reason="exhausted") >= 7
        assert service.metric("fovea_stream_frames_decoded_total", mode="all") >= 6
