"""What happens to cameras, and what becomes of their streams: each fault is noticed, told, and recovered from.

Prints a table: seconds until a fault is told, and from the camera's return to the first result. Bounds are generous,
because the machine may be busy; decision 0009 has the figures of a quiet one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.cameras import Camera, camera
from tests.serving import Served
from tests.streaming import Follower, following, subscribe

from .conftest import FPS, footage
from .networks import cable

DETECT_S, RECOVER_S = 30.0, 20.0
AWAY_S = 35.0  # tries come slowly after 30


@dataclass(frozen=True)
class Row:
    fault: str
    told: str
    detect_s: float | None
    recover_s: float | None


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """Rows to fill; printed once the module is through."""
    rows: list[Row] = []
    yield rows
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{'fault':<38}{'told as':<14}{'noticed / s':>12}{'first result after return / s':>32}")
        for row in rows:
            detect, recover = ("-" if time_s is None else f"{time_s:.2f}" for time_s in (row.detect_s, row.recover_s))
            print(f"{row.fault:<38}{row.told:<14}{detect:>12}{recover:>32}")


@dataclass
class Watched:
    """A camera whose stream is live, and a row of the table being filled."""

    follower: Follower
    rows: list[Row]
    fault: str
    broken_s: float = 0.0
    detect_s: float | None = None
    told: str = ""

    def broken(self, *error_classes: str) -> None:
        """The fault has just been done: it must be told as one of these."""
        self.broken_s = time.monotonic()
        heard = self.follower.wait_for(
            lambda one: one.name == "state" and one.data["state"] == "reconnecting", DETECT_S
        )
        self.detect_s = heard.at_s - self.broken_s
        self.told = heard.data["error"]["error_class"]
        assert self.told in error_classes
        assert heard.data["error"]["retry_at"] is not None

    def back(self, returned_s: float) -> None:
        """The camera is back: results must come, of a new epoch."""
        live = self.follower.wait_for_state("live")
        result = self.follower.wait_for_result(lambda data: data["epoch"] >= live.data["epoch"])
        recover_s = result.at_s - returned_s
        assert recover_s < RECOVER_S
        self.rows.append(Row(self.fault, self.told, self.detect_s, recover_s))


@contextmanager
def a_live_camera(service: Served, table: list[Row], fault: str) -> Iterator[tuple[Camera, Watched]]:
    with camera(footage(), fps=FPS) as cam:
        stream = subscribe(service.client, cam.url(), decode="all")
        with following(service.client, stream, "0-0") as follower:
            follower.wait_for_result()
            yield cam, Watched(follower, table, fault)
        assert service.client.delete(f"/v1/streams/{stream}").status_code == 204


@pytest.fixture
def watched(watching: Served, table: list[Row], request: pytest.FixtureRequest) -> Iterator[tuple[Camera, Watched]]:
    with a_live_camera(watching, table, request.node.name.removeprefix("test_").replace("_", " ")) as live:
        yield live


@pytest.fixture(scope="module", autouse=True)
def away(watching: Served, table: list[Row]) -> Iterator[tuple[Camera, Watched]]:
    """A camera that goes before the first test and stays away: the others' time is its own."""
    with a_live_camera(watching, table, "away for longer than the quick tries") as (cam, story):
        cam.kill()
        story.broken("ended", "refused")
        yield cam, story


def test_server_killed(watched: tuple[Camera, Watched]) -> None:
    cam, story = watched
    cam.kill()
    story.broken("ended", "refused")
    cam.restart()
    story.back(time.monotonic())


def test_server_frozen(watched: tuple[Camera, Watched]) -> None:
    cam, story = watched
    cam.freeze()
    try:
        story.broken("stalled")
    finally:
        cam.thaw()
    story.back(time.monotonic())


def test_stream_stalled(watched: tuple[Camera, Watched]) -> None:
    cam, story = watched
    cam.tell("stall")
    story.broken("stalled")
    cam.tell("resume")
    story.back(time.monotonic())


def test_client_kicked(watched: tuple[Camera, Watched]) -> None:
    cam, story = watched
    cam.tell("kick")
    kicked_s = time.monotonic()
    story.broken("ended")
    story.back(kicked_s)


def test_cable_pulled(watching: Served, table: list[Row]) -> None:
    with cable() as line, camera(footage(), prefix=line.prefix, address=line.address, fps=FPS) as cam:
        stream = subscribe(watching.client, cam.url(), decode="all")
        with following(watching.client, stream, "0-0") as follower:
            follower.wait_for_result()
            story = Watched(follower, table, "cable pulled")
            line.pull()
            story.broken("stalled")
            line.plug_in()
            story.back(time.monotonic())
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_fifth_of_the_datagrams_lost(watching: Served, table: list[Row]) -> None:
    """Nothing is lost for good: damaged frames are left out and counted, results go on."""
    with cable() as line, camera(footage(), prefix=line.prefix, address=line.address, fps=FPS) as cam:
        line.lose(0.2)
        stream = subscribe(watching.client, cam.url(), decode="all", transport="udp")
        began_s = time.monotonic()
        with following(watching.client, stream, "0-0") as follower:
            first = follower.wait_for_result()
            for _ in range(8):
                follower.wait_for_result()
        table.append(Row("a fifth of UDP lost", "-", None, first.at_s - began_s))
        watching.client.delete(f"/v1/streams/{stream}")


def test_wrong_then_corrected_password(watching: Served, table: list[Row]) -> None:
    login = {"user": "viewer", "password": "right"}
    with camera(footage(), fps=FPS, auth=login | {"password": "changed", "method": "digest"}) as cam:
        stream = subscribe(watching.client, cam.url(credentials="viewer:right"), decode="all")
        asked_s = time.monotonic()
        with following(watching.client, stream, "0-0") as follower:
            heard = follower.wait_for_state("reconnecting", error_class="auth")
            story = Watched(follower, table, "wrong, then corrected password", asked_s, heard.at_s - asked_s, "auth")
            cam.restart(auth=login)
            story.back(time.monotonic())
        watching.client.delete(f"/v1/streams/{stream}")


def test_not_found_then_there(watching: Served, table: list[Row]) -> None:
    """Relays say 404 while their source is away."""
    with camera(footage(), fps=FPS, mounts={"/other": [str(footage())]}) as cam:
        cam.restart(mounts={"/other": [str(footage())]})
        stream = subscribe(watching.client, cam.url(), decode="all")
        asked_s = time.monotonic()
        with following(watching.client, stream, "0-0") as follower:
            heard = follower.wait_for_state("reconnecting", error_class="not_found")
            story = Watched(follower, table, "404, then there", asked_s, heard.at_s - asked_s, "not_found")
            cam.restart(mounts={"/cam": [str(footage())]})
            story.back(time.monotonic())
        watching.client.delete(f"/v1/streams/{stream}")


def test_refused_then_there(watching: Served, table: list[Row]) -> None:
    with camera(footage(), fps=FPS) as cam:
        cam.kill()
        stream = subscribe(watching.client, cam.url(), decode="all")
        asked_s = time.monotonic()
        with following(watching.client, stream, "0-0") as follower:
            heard = follower.wait_for_state("reconnecting", error_class="refused")
            story = Watched(follower, table, "TCP refused, then there", asked_s, heard.at_s - asked_s, "refused")
            cam.restart()
            story.back(time.monotonic())
        watching.client.delete(f"/v1/streams/{stream}")


def test_a_change_of_resolution_goes_through(watching: Served, table: list[Row]) -> None:
    with camera(footage(), footage("larger.mp4", size=(480, 272)), fps=FPS) as cam:
        stream = subscribe(watching.client, cam.url(), decode="all")
        with following(watching.client, stream, "0-0") as follower:
            before = follower.wait_for_result()
            assert before.data["recognition"]["video"]["width"] == 320
            cam.tell("next")
            changed_s = time.monotonic()
            after = follower.wait_for_result(lambda data: data["recognition"]["video"]["width"] == 480)
            assert after.data["epoch"] == before.data["epoch"]
        table.append(Row("resolution changed", "-", None, after.at_s - changed_s))
        watching.client.delete(f"/v1/streams/{stream}")


def test_another_codec(watched: tuple[Camera, Watched]) -> None:
    """Somebody sets the camera to H.265, which makes it hang up."""
    cam, story = watched
    other = footage("camera265.mp4", codec="libx265")
    cam.kill()
    story.broken("ended", "refused")
    cam.restart(mounts={"/cam": [str(other)]})
    story.back(time.monotonic())


def test_away_for_longer_than_the_quick_tries(away: tuple[Camera, Watched]) -> None:
    cam, story = away
    time.sleep(max(0.0, story.broken_s + AWAY_S - time.monotonic()))
    cam.restart()
    story.back(time.monotonic())
