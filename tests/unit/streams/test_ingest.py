"""One camera's pictures: opened, lost, opened again; what it shows becomes windows, what happens is told.

The child process is a script here; `tests/e2e/streams` has real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.words import Decode, ErrorClass, StreamState
from service.ledger.base import BEFORE_ALL, Book
from service.metrics import Metrics
from service.streams import records
from service.streams.attention import QUIET_WINDOWS, Sight
from service.streams.ingest import Ingest, Terms
from service.streams.status import Status
from service.streams.windows import Window
from tests.tiny import SPEC
from video.camera.live import Broken, Cell, Lost, Message, Opened, Picture, Progress

from .making import STREAM, URL, Script, a_book, a_journal, a_subscription, terms

LOST = Lost(ErrorClass.ENDED, "it hung up")


def a_cell(index: int, *, decoded: int = 0, dropped: int = 0, keyframes_s: float | None = None) -> Cell:
    frame_HWC = np.zeros((32, 32, 3), np.uint8)
    picture = Picture(frame_HWC, np.float32([0, 0, 1, 1]), index / 4, 0.0, 640, 360)
    return Cell(index, picture, Progress(decoded, dropped, keyframes_s, "all"))


@dataclass
class Running:
    ingest: Ingest
    book: Book
    script: Script
    metrics: Metrics
    windows: list[tuple[Window, str]]

    async def states(self, wanted: int) -> list[Status]:
        """The first so many that were told."""
        after, told = BEFORE_ALL, []
        while len(told) < wanted:
            for event in await self.book.events(STREAM, after, wait_s=30):
                after = event.id
                told.append(records.told_by(event))
        del told[wanted:]
        return [one for one in told if isinstance(one, Status)]


@asynccontextmanager
async def running(
    *lives: Sequence[Message], policy: Terms | None = None, decode: Decode = Decode.ALL
) -> AsyncIterator[Running]:
    script, book, metrics = Script([list(life) for life in lives]), await a_book(), Metrics()
    windows: list[tuple[Window, str]] = []

    async def start() -> Any:
        script.is_alive = True
        return script

    ingest = Ingest(
        a_subscription(url=URL, decode=decode),
        SPEC,
        policy or terms("127.0.0.0/8"),
        start_process=start,
        journal=a_journal(book, metrics),
        metrics=metrics,
        offer=lambda window, codec: windows.append((window, codec)),
    )
    task = asyncio.create_task(ingest.run())
    try:
        yield Running(ingest, book, script, metrics, windows)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert script.ended == 1 or not script.modes, "the process was left behind"


async def test_pictures_begin_an_epoch_and_become_windows() -> None:
    async with running([Opened("h264"), *(a_cell(index) for index in range(6))]) as camera:
        (live,) = await camera.states(1)
        await asyncio.sleep(0.05)
        assert (live.state, live.epoch) == (StreamState.LIVE, 1)
        assert live.source is not None
        assert (live.source.codec, live.source.width_px) == ("h264", 640)
        full = [window for window, codec in camera.windows if not window.partial and codec == "h264"]
        assert [(window.start_s, window.end_s) for window in full] == [(0, 1), (0.25, 1.25), (0.5, 1.5)]


async def test_a_camera_that_is_lost_is_told_and_opened_again_with_a_new_epoch() -> None:
    async with running([Opened("h264"), a_cell(0), LOST], [Opened("h264"), a_cell(0)]) as camera:
        first, lost, again = await camera.states(3)
        assert [one.state for one in (first, lost, again)] == ["live", "reconnecting", "live"]
        assert [one.epoch for one in (first, lost, again)] == [1, 1, 2]
        assert lost.trouble is not None
        assert (lost.trouble.error_class, lost.trouble.attempts) == (ErrorClass.ENDED, 1)
        assert again.trouble is None


async def test_a_jump_of_the_cameras_clock_is_an_epoch_and_no_loss() -> None:
    async with running([Opened("h264"), a_cell(0), Broken(), a_cell(0)]) as camera:
        assert [(one.state, one.epoch) for one in await camera.states(2)] == [("live", 1), ("live", 2)]


async def test_a_process_that_died_is_replaced() -> None:
    async with running([Opened("h264"), a_cell(0), LOST], [Opened("h264"), a_cell(0)]) as camera:
        camera.script.dies = True
        assert [one.state for one in await camera.states(3)] == ["live", "reconnecting", "live"]
        assert camera.script.ended == 1
        camera.script.ended = 0  # and again at the end


async def test_an_address_that_is_refused_is_a_loss_and_no_process_is_started_for_it() -> None:
    async with running(policy=terms()) as camera:
        (refused, *_) = await camera.states(1)
        assert refused.trouble is not None
        assert refused.trouble.error_class is ErrorClass.ADDRESS
        assert camera.script.modes == []


async def test_frames_are_counted_over_all_connections() -> None:
    lives = (
        [Opened("h264"), a_cell(0, decoded=5), a_cell(1, decoded=9, dropped=1), LOST],
        [Opened("h264"), a_cell(0, decoded=2)],
    )
    async with running(*lives) as camera:
        await camera.states(3)
        await asyncio.sleep(0.05)
        sample = camera.metrics.registry.get_sample_value
        assert sample("fovea_stream_frames_decoded_total", {"mode": "all"}) == 11
        assert sample("fovea_stream_frames_dropped_total", {"reason": "damaged"}) == 1


async def test_a_quiet_scene_is_decoded_by_keyframes_and_that_is_told() -> None:
    async with running([Opened("h264"), a_cell(0, keyframes_s=0.5)], decode=Decode.AUTO) as camera:
        await camera.states(1)
        await asyncio.sleep(0.05)
        for _ in range(QUIET_WINDOWS + 1):
            await camera.ingest.attend(Sight("red", 0.5, settled=True))
        assert [one.mode for one in await camera.states(2)] == ["all", "keyframes"]
        assert camera.script.modes == ["all", "keyframes"]
