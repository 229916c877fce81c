"""Ordinary cameras with odd habits: one connection alone, keyframes far apart or none, wrong clocks, refusals."""

from collections.abc import Callable

import pytest

from tests.faulty_camera import encoded, faulty_camera, parameters, without_keyframes
from tests.serving import Served
from tests.streaming import following, subscribe

FPS = 10
PICTURES = encoded(pictures=300, gop=10)
WINDOW = {"window_s": 1.0, "stride_s": 0.5, "decode": "all"}


def test_a_camera_with_one_place_is_connected_to_once(watching: Served) -> None:
    with faulty_camera(PICTURES, slots=1, slot_held_s=5.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result()
            assert not [heard for heard in follower.heard if heard.data.get("error")]
        assert camera.connections == 1
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_is_asked_for_by_the_name_it_was_subscribed_with(watching: Served) -> None:
    with faulty_camera(PICTURES) as camera:
        stream = subscribe(watching.client, camera.url().replace("127.0.0.1", "localhost"), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result()
        watching.client.delete(f"/v1/streams/{stream}")
    root = f"rtsp://localhost:{camera.port}/cam"
    assert {one.method for one in camera.asked} >= {"OPTIONS", "DESCRIBE", "SETUP", "PLAY"}
    assert [one.url for one in camera.asked if not one.url.startswith(root)] == []


@pytest.mark.parametrize("decode", ["auto", "keyframes"])
def test_a_keyframe_that_is_far_away_is_waited_for_on_one_connection(watching: Served, decode: str) -> None:
    """Longer than any other time limit, so that hanging up would show."""
    with faulty_camera(encoded(pictures=140, gop=140), joins_live=True, runs_s=1.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW | {"decode": decode})
        with following(watching.client, stream, "0-0") as follower:
            result = follower.wait_for_result()
            assert result.data["epoch"] == 1
            assert not [heard for heard in follower.heard if heard.data.get("state") == "reconnecting"]
        assert camera.connections == 1
        watching.client.delete(f"/v1/streams/{stream}")


@pytest.mark.parametrize(("decode", "recovery_points"), [("auto", True), ("keyframes", True), ("keyframes", False)])
def test_intra_refresh_is_decoded_whole_whatever_was_asked(
    watching: Served, decode: str, recovery_points: bool
) -> None:
    pictures = encoded(pictures=300, gop=15, **{"intra-refresh": "1"})
    sets = parameters(pictures)
    shown = pictures[1:] if recovery_points else without_keyframes(pictures[1:])
    with faulty_camera(shown, sets=sets, joins_live=True, runs_s=1.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW | {"decode": decode})
        with following(watching.client, stream, "0-0") as follower:
            for _ in range(12):
                result = follower.wait_for_result()
            assert result.data["epoch"] == 1
            assert result.data["decode"] == "all"
            assert result.data["frames"]["distinct"] == 4
        assert camera.connections == 1
        watching.client.delete(f"/v1/streams/{stream}")


CLOCKS: dict[str, Callable[[int, float], float]] = {
    "ten times as fast": lambda number, fps: 10 * number / fps,
    "constant": lambda number, fps: 7.0,
    "random": lambda number, fps: hash(str(number)) % 47_000,
    "starting again": lambda number, fps: number % 20 / fps,
    "an hour ahead now and then": lambda number, fps: number / fps + 3600 * (number // 20),
}


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS.keys())
def test_a_clock_that_runs_wrong_changes_neither_epoch_nor_pace(
    watching: Served, clock: Callable[[int, float], float]
) -> None:
    with faulty_camera(PICTURES, clock=clock) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result(lambda data: data["window"]["start_s"] > 8.0)  # it was found out by then
            first = follower.wait_for_result()
            results = [follower.wait_for_result() for _ in range(8)]
        assert {one.data["epoch"] for one in results} == {1}
        paced_s = results[-1].data["window"]["end_s"] - first.data["window"]["end_s"]
        assert paced_s / (results[-1].at_s - first.at_s) == pytest.approx(1.0, rel=0.5)
        assert camera.connections == 1
        watching.client.delete(f"/v1/streams/{stream}")


@pytest.mark.parametrize(
    ("method", "status", "error_class", "word"),
    [
        ("DESCRIBE", "400 Bad Request", "protocol", "malformed"),
        ("PLAY", "453 Not Enough Bandwidth", "busy", "bandwidth"),
        ("PLAY", "454 Session Not Found", "protocol", "session"),
        ("SETUP", "500 Internal Server Error", "protocol", "failed inside"),
        ("DESCRIBE", "503 Service Unavailable", "busy", "overloaded"),
    ],
)
def test_a_refusal_is_told_in_words(watching: Served, method: str, status: str, error_class: str, word: str) -> None:
    with faulty_camera(PICTURES, statuses={method: status}) as camera:
        stream = subscribe(watching.client, camera.url(credentials="me:hush"), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for_state("reconnecting").data["error"]
        assert told["error_class"] == error_class
        assert word in told["detail"]
        assert f"({status.partition(' ')[0]} to {method})" in told["detail"]
        assert "hush" not in told["detail"]
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_that_hangs_up_before_it_plays_is_told_so(watching: Served) -> None:
    with faulty_camera(PICTURES, slots=0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for_state("reconnecting").data["error"]
        assert (told["error_class"], "hung up before it played" in told["detail"]) == ("ended", True)
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_that_forgets_a_session_while_it_plays_goes_on(watching: Served) -> None:
    with faulty_camera(PICTURES, keepalive="454 Session Not Found", session_s=6) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            while not any(one.method == "GET_PARAMETER" for one in camera.asked):
                follower.wait_for_result()
            for _ in range(4):
                assert follower.wait_for_result().data["epoch"] == 1
        watching.client.delete(f"/v1/streams/{stream}")


def test_where_a_camera_is_said_to_have_moved_gets_neither_password_nor_connection(watching: Served) -> None:
    with (
        faulty_camera(PICTURES, address="127.0.0.2", login="me:hush") as elsewhere,
        faulty_camera(PICTURES, statuses={"DESCRIBE": "302 Found"}, location=elsewhere.url()) as camera,
    ):
        stream = subscribe(watching.client, camera.url(credentials="me:hush"), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for_state("reconnecting").data["error"]
        assert told["error_class"] == "address"
        assert f"127.0.0.2:{elsewhere.port}" in told["detail"]
        watching.client.delete(f"/v1/streams/{stream}")
        assert elsewhere.connections == 0


def test_a_camera_may_be_given_more_time_than_others(watching: Served) -> None:
    """A relay that starts its source when it is asked."""
    with faulty_camera(PICTURES, describe_s=7.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, open_timeout_s=60.0)
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result()
            assert not [heard for heard in follower.heard if heard.data.get("error")]
        assert camera.connections == 1
        told = watching.client.get(f"/v1/streams/{stream}").json()
        assert (told["open_timeout_s"], told["stall_timeout_s"]) == (60.0, None)
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_may_be_given_less_time_than_others(watching: Served) -> None:
    with faulty_camera(PICTURES, describe_s=60.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, open_timeout_s=0.5)
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for_state("reconnecting", error_class="timeout").data["error"]
        assert told["detail"] == "127.0.0.1 did not answer DESCRIBE within 0.5 s"
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_camera_of_rare_pictures_lives_where_it_is_given_the_time(watching: Served) -> None:
    with faulty_camera(PICTURES, fps=0.25) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, stall_timeout_s=60.0)
        with following(watching.client, stream, "0-0") as follower:
            for _ in range(3):
                assert follower.wait_for_result().data["epoch"] == 1
            assert not [heard for heard in follower.heard if heard.data.get("state") == "reconnecting"]
        assert camera.connections == 1
        watching.client.delete(f"/v1/streams/{stream}")


@pytest.mark.parametrize("clock", ["camera", "arrival"])
def test_whose_time_is_used_can_be_asked_for(watching: Served, clock: str) -> None:
    with faulty_camera(PICTURES, clock=lambda number, fps: 0.5 * number / fps) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, clock=clock)
        with following(watching.client, stream, "0-0") as follower:
            first = follower.wait_for_result(lambda data: not data["window"]["partial"])
            results = [follower.wait_for_result() for _ in range(8)]
        passed_s = results[-1].at_s - first.at_s
        shown_s = results[-1].data["window"]["end_s"] - first.data["window"]["end_s"]
        assert shown_s / passed_s == pytest.approx(0.5 if clock == "camera" else 1.0, rel=0.4)
        status = watching.client.get(f"/v1/streams/{stream}").json()["status"]
        assert status["video"]["clock"] == clock
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_fast_clock_that_was_asked_for_buys_no_more_windows(watching: Served) -> None:
    with faulty_camera(PICTURES, clock=lambda number, fps: 8 * number / fps) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, clock="camera")
        with following(watching.client, stream, "0-0") as follower:
            first = follower.wait_for_result()
            results = [follower.wait_for_result() for _ in range(16)]
        passed_s = results[-1].at_s - first.at_s
        assert len(results) <= passed_s / WINDOW["stride_s"] + 5  # those that may come at once
        assert results[-1].data["windows_dropped"] > 0
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_clock_that_was_asked_for_and_stands_still_is_told(watching: Served) -> None:
    with faulty_camera(PICTURES, clock=lambda number, fps: 7.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW, clock="camera")
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for_state("reconnecting").data["error"]
        assert (told["error_class"], "clock stands still" in told["detail"]) == ("unsupported", True)
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_wait_for_a_keyframe_is_told(watching: Served) -> None:
    # longer than a connection may take on a busy machine: one that comes with the keyframe waits for nothing
    with faulty_camera(encoded(pictures=200, gop=200), joins_live=True, runs_s=1.0) as camera:
        stream = subscribe(watching.client, camera.url(), **WINDOW)
        with following(watching.client, stream, "0-0") as follower:
            told = follower.wait_for(lambda heard: heard.data.get("error") is not None).data
            assert (told["state"], told["error"]["error_class"]) == ("connecting", "blind")
            assert "keyframe" in told["error"]["detail"]
            assert follower.wait_for_state("live").data["error"] is None
        watching.client.delete(f"/v1/streams/{stream}")
