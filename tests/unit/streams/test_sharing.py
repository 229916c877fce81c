"""One process for a camera, however many watch it: what it says is for all, and ends for each by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fovea.words import ErrorClass, Mode
from service.streams.sharing import MAX_WAITING, SharedCameras, Tap
from tests.tiny import SPEC
from video.camera.live import Broken, CameraSource, Cell, Lost, Message, Opened, Patience, Picture, Progress, Sampling
from video.clip import VideoLimits

from .making import until

LOST = Lost(ErrorClass.ENDED, "it hung up")
CELL_S = 0.25


def source(path: str = "cam") -> CameraSource:
    return CameraSource(f"rtsp://viewer:secret@127.0.0.1:554/{path}", "camera", "127.0.0.1", 554, "tcp")


def sampling(cell_s: float = CELL_S) -> Sampling:
    return Sampling(SPEC, (round(cell_s * 1e6), 1), VideoLimits(600, 10**7, 10**5))


def a_cell(index: int, *, shown: bool = True, decoded: int = 0) -> Cell:
    picture = Picture(np.zeros((32, 32, 3), np.uint8), np.float32([0, 0, 1, 1]), index * CELL_S, 0.0, 640, 360)
    return Cell(index, picture if shown else None, Progress(decoded, 0, None, "all"))


@dataclass
class Told:
    """A camera's process that says what the test has it say."""

    says: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    opened: int = 0
    modes: list[Mode] = field(default_factory=list)
    is_alive: bool = True
    has_ended: bool = False

    def open(self, source: Any, patience: Any, sampling: Any, mode: Mode) -> None:
        self.opened += 1
        self.modes.append(mode)

    def set_mode(self, mode: Mode) -> None:
        self.modes.append(mode)

    async def message(self) -> Message:
        return await self.says.get()

    async def end(self) -> None:
        self.has_ended = True

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.says.put_nowait(message)


@dataclass
class Sharing:
    processes: list[Told]
    tap: Callable[..., Any]


@pytest.fixture
async def sharing() -> AsyncIterator[Sharing]:
    processes: list[Told] = []
    taps: list[Tap] = []

    async def start() -> Told:
        processes.append(Told())
        return processes[-1]

    cameras = SharedCameras(start)

    async def tap(wanted: CameraSource | None = None, *, mode: Mode = "all", cell_s: float = CELL_S) -> Tap:
        taps.append(await cameras.start())
        taps[-1].open(wanted or source(), Patience(1, 1, 1), sampling(cell_s), mode)
        await asyncio.sleep(0.01)
        return taps[-1]

    yield Sharing(processes, tap)
    for one in taps:
        await one.end()
    assert all(process.has_ended for process in processes)


async def heard(tap: Tap, number: int) -> list[Message]:
    async with asyncio.timeout(30):
        return [await tap.message() for _ in range(number)]


async def test_two_streams_of_one_camera_share_its_process_and_hear_the_same(sharing: Sharing) -> None:
    first, second = await sharing.tap(), await sharing.tap()
    (process,) = sharing.processes
    assert process.opened == 1
    told = [Opened("h264"), a_cell(0), a_cell(1, shown=False)]
    process.say(*told)
    for tap in (first, second):
        opened, *cells = await heard(tap, 3)
        assert opened == told[0]
        assert [cell.index for cell in cells] == [0, 1]


@pytest.mark.parametrize("other", ["camera", "cells"])
async def test_what_is_not_the_same_is_not_shared(sharing: Sharing, other: str) -> None:
    await sharing.tap()
    await (sharing.tap(source("another")) if other == "camera" else sharing.tap(cell_s=0.5))
    assert len(sharing.processes) == 2


async def test_who_joins_later_begins_with_the_picture_there_is_and_counts_from_there(sharing: Sharing) -> None:
    first = await sharing.tap()
    (process,) = sharing.processes
    process.say(Opened("h264"), a_cell(0, decoded=4), a_cell(1, decoded=8))
    await heard(first, 3)
    later = await sharing.tap()
    process.say(a_cell(2, shown=False, decoded=9), a_cell(3, decoded=12))
    opened, held, shown = await heard(later, 3)
    assert opened == Opened("h264")
    assert (held.index, held.picture.pts_s, held.progress.frames_decoded) == (0, 0.0, 1)
    assert (shown.index, shown.picture.pts_s, shown.progress.frames_decoded) == (1, CELL_S, 4)
    assert [cell.index for cell in await heard(first, 2)] == [2, 3]
    process.say(Broken(), a_cell(0, decoded=13))
    for tap in (first, later):
        broken, cell = await heard(tap, 2)
        assert (broken, cell.index, cell.picture.pts_s) == (Broken(), 0, 0.0)


async def test_a_loss_is_for_all_and_whoever_comes_back_first_opens_it_again(sharing: Sharing) -> None:
    first, second = await sharing.tap(), await sharing.tap()
    (process,) = sharing.processes
    process.say(Opened("h264"), a_cell(0), LOST)
    for tap in (first, second):
        assert (await heard(tap, 3))[-1] == LOST
    second.open(source(), Patience(1, 1, 1), sampling(), "all")
    await until(lambda: process.opened == 2)
    process.say(Opened("h264"), *[a_cell(index) for index in range(3 * MAX_WAITING)])
    await heard(second, 3 * MAX_WAITING + 1)  # though the first one does not listen yet
    first.open(source(), Patience(1, 1, 1), sampling(), "all")
    process.say(a_cell(99))
    assert [type(message) for message in await heard(first, 2)] == [Opened, Cell]
    assert process.opened == 2


async def test_all_frames_are_decoded_while_any_wants_all(sharing: Sharing) -> None:
    quiet = await sharing.tap(mode="keyframes")
    (process,) = sharing.processes
    busy = await sharing.tap(mode="all")
    assert process.modes == ["keyframes", "all"]
    busy.set_mode("keyframes")
    quiet.set_mode("all")
    quiet.set_mode("keyframes")
    assert process.modes == ["keyframes", "all", "keyframes", "all", "keyframes"]
    busy.set_mode("all")
    await busy.end()
    assert process.modes[-2:] == ["all", "keyframes"]


async def test_the_process_ends_with_the_last_of_its_streams(sharing: Sharing) -> None:
    first, second = await sharing.tap(), await sharing.tap()
    (process,) = sharing.processes
    await first.end()
    assert not process.has_ended
    process.say(Opened("h264"))
    await heard(second, 1)
    await second.end()
    assert process.has_ended
    await sharing.tap()
    assert len(sharing.processes) == 2


async def test_a_stream_that_stopped_listening_and_ended_holds_nobody_up(sharing: Sharing) -> None:
    deaf, second = await sharing.tap(), await sharing.tap()
    (process,) = sharing.processes
    process.say(Opened("h264"), *[a_cell(index) for index in range(2 * MAX_WAITING)])
    await heard(second, MAX_WAITING)
    await deaf.end()
    await heard(second, MAX_WAITING + 1)


async def test_a_process_that_died_is_replaced(sharing: Sharing) -> None:
    first = await sharing.tap()
    sharing.processes[0].is_alive = False
    sharing.processes[0].say(Lost(ErrorClass.CRASHED, "it died"))
    await heard(first, 1)
    first.open(source(), Patience(1, 1, 1), sampling(), "all")
    await until(lambda: len(sharing.processes) == 2)
    assert sharing.processes[0].has_ended


async def test_a_process_that_does_not_start_is_a_loss() -> None:
    async def fail() -> Told:
        raise OSError("no memory")

    tap = await SharedCameras(fail).start()
    tap.open(source(), Patience(1, 1, 1), sampling(), "all")
    (lost,) = await heard(tap, 1)
    assert isinstance(lost, Lost)
    assert lost.error_class is ErrorClass.CRASHED
    await tap.end()
