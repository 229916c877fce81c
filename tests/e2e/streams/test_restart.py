"""One process without Redis: it is killed, or its state cannot be used, and nothing that was answered is lost."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from service.ledger.base import Record
from service.ledger.sqlite import FILE, SqliteLedger
from tests.cameras import Camera, camera
from tests.replica import Replica
from tests.serving import serving
from tests.streaming import Follower, following, free_port, ids_rise, subscribe
from tests.tiny import Gate, TinyRecognizer

from .conftest import FPS, LOOPBACK, footage

pytestmark = pytest.mark.timeout(300)

OTHERS = "str_01JD3M8Q4Z6X7V9T2S5R1P0N8K"


def key(event_id: str) -> tuple[int, ...]:
    return tuple(map(int, event_id.split("-")))


def put(folder: Path, record: Record) -> None:
    async def add() -> None:
        ledger = SqliteLedger(folder)
        await ledger.open()
        assert await ledger.book("stream", events_kept=1).add(record, 1) == "added"
        await ledger.close()

    asyncio.run(add())


def renumber(path: Path) -> None:
    put(path.parent, Record("a", ""))
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version = 99")


@pytest.fixture
def cam() -> Iterator[Camera]:
    with camera(footage(), fps=FPS) as playing:
        yield playing


def watched(follower: Follower, results: int) -> str:
    """Follow until so many results were heard; the id of the last event."""
    for _ in range(results):
        last = follower.wait_for_result()
    assert last.id is not None
    return last.id


def test_after_kill_9_cameras_are_back_and_followers_resume_with_nothing_lost_or_doubled(
    cam: Camera, tmp_path: Path
) -> None:
    with Replica(free_port(), {"stream_allowed_networks": LOOPBACK, "state_dir": str(tmp_path)}) as service:
        service.start()
        service.wait_until_ready()
        streams = [subscribe(service.client, cam.url(), decode="all") for _ in range(2)]
        deleted = subscribe(service.client, cam.url())
        assert service.client.delete(f"/v1/streams/{deleted}").status_code == 204
        before: list[Follower] = []
        with ExitStack() as stack:
            before += [stack.enter_context(following(service.client, stream, "0-0")) for stream in streams]
            last_ids = [watched(follower, 5) for follower in before]
            children = service.children
            service.kill()
        _, alive = psutil.wait_procs(children, timeout=30)
        assert not alive, "a camera's process outlived its service"

        killed_s = time.monotonic()
        service.start()
        service.wait_until_ready()
        assert [one["id"] for one in service.client.get("/v1/streams").json()["streams"]] == streams
        for stream, follower, last_id in zip(streams, before, last_ids, strict=True):
            with following(service.client, stream, last_id) as resumed:
                watched(resumed, 5)
                epoch = max(one.data["epoch"] for one in follower.heard)
                resumed.wait_for_result(lambda data, epoch=epoch: data["epoch"] > epoch)
                print(f"results again {resumed.heard[-1].at_s - killed_s:.1f} s after kill -9, with a start in between")
            with following(service.client, stream, "0-0") as late:
                while (told := late.next()) is not None and told.id != resumed.heard[-1].id:
                    pass
            heard_ids = [one.id for one in follower.heard if one.key <= key(last_id)] + [
                one.id for one in resumed.heard
            ]
            assert heard_ids == [one.id for one in late.heard], "an event was lost, or came twice"
            assert ids_rise(late.heard)


def test_what_another_version_subscribed_is_left_alone_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, Record(OTHERS, '{"version": 99, "camera": "rtsp://viewer:hunter2@127.0.0.1/"}'))
    with serving(state_dir=tmp_path) as service:
        assert service.client.get("/v1/streams").json() == {"streams": [], "unreadable": [OTHERS]}
        for path in (f"/v1/streams/{OTHERS}", f"/v1/streams/{OTHERS}/events"):
            answer = service.client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            assert "subscribed by another version of Fovea" in answer.json()["detail"]
            assert "hunter2" not in answer.text
        give_up_s = time.monotonic() + 30
        while not any(f"stream {OTHERS} is left alone" in record.getMessage() for record in caplog.records):
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
    with serving(state_dir=tmp_path) as service:  # still there, and may be deleted
        assert service.client.delete(f"/v1/streams/{OTHERS}").status_code == 204
        assert service.client.get("/v1/streams").json() == {"streams": [], "unreadable": []}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda file: file.write_bytes(b"no database " * 1000), "the file is damaged; restore a copy"),
        (renumber, "has format 99, this Fovea reads format 1"),
        (lambda file: file.mkdir(), "point FOVEA_STATE_DIR elsewhere"),
    ],
)
def test_a_state_that_cannot_be_used_is_told_in_a_sentence(damage, sentence: str, tmp_path: Path) -> None:
    damage(tmp_path / FILE)
    with serving(state_dir=tmp_path, ready=False) as service:
        give_up_s = time.monotonic() + 30
        while sentence not in (answer := service.client.get("/readyz")).text:
            assert time.monotonic() < give_up_s, answer.text
            time.sleep(0.05)
        assert answer.status_code == 503
        assert "/ledger.sqlite3" in answer.json()["detail"]
        assert service.client.get("/v1/streams").status_code == 503


def test_two_services_do_not_share_one_state(tmp_path: Path) -> None:
    with serving(state_dir=tmp_path) as first, serving(state_dir=tmp_path, ready=False) as second:
        give_up_s = time.monotonic() + 30
        while "another process uses it" not in (answer := second.client.get("/readyz")).text:
            assert time.monotonic() < give_up_s, answer.text
            time.sleep(0.05)
        assert first.client.get("/v1/streams").status_code == 200


def test_at_sigterm_cameras_do_not_wait_for_uploads_to_finish(tmp_path: Path, red_video: bytes) -> None:
    gate = Gate("glance")
    with (
        serving(
            TinyRecognizer(gate), state_dir=tmp_path, drain_timeout_s=60, stream_allowed_networks=LOOPBACK
        ) as service,
        ThreadPoolExecutor(1) as pool,
        following(service.client, subscribe(service.client, f"rtsp://127.0.0.1:{free_port()}/x"), "0-0") as follower,
    ):
        follower.wait_for_state("reconnecting")
        admitted = pool.submit(service.post, red_video)
        assert gate.reached.wait(30)
        service.server.handle_exit(signal.SIGTERM, None)
        give_up_s = time.monotonic() + 30
        while service.app.state.supervisor.held:
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        assert not admitted.done()
        gate.open()
        assert admitted.result().status_code == 200


def test_the_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """Cameras' passwords lie there."""
    with serving(state_dir=tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o77 == 0
        assert all(file.stat().st_mode & 0o77 == 0 for file in (tmp_path / "state").iterdir())
        assert os.listdir(tmp_path / "state")
