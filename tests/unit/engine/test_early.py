"""Decoding begins before the last byte where that pays: not for what is here at once, nor for a trickle."""

import asyncio
import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from service.engine import early
from service.engine.early import EarlyDecoding
from tests.clips import cached_clip, frozen, noise
from video.children.followed_upload import FollowedUpload
from video.clip import ClipRule
from video.file.stated import Head, head_of, index_behind_pictures

RULE = ClipRule(4, 32, 32, "stretch")
FIRST = cached_clip("early-first.mp4", size=(640, 480), pattern=noise, container_options=frozen(movflags="faststart"))
LAST = cached_clip("early-last.mp4")
BEGINS = {path: path.read_bytes()[:4096] for path in (FIRST, LAST)}


class Child:
    """What is told to the child that follows."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.is_done = False

    def arrived(self, num_bytes: int) -> None:
        self.told.append(num_bytes)

    def ended(self) -> None:
        self.told.append("ended")

    def stop(self) -> bool:
        self.told.append("stop")
        return True


class Uploading:
    """An upload at a steady rate, by a clock of its own."""

    def __init__(
        self, path: Path, seconds: float, *, announced: bool = True, is_room: Callable[[], bool] = lambda: True
    ) -> None:
        self.size, self.seconds, self.now_s = path.stat().st_size, seconds, 0.0
        self.child: Child | None = None
        self.end_from: int | None = None
        self.began_s: list[float] = []

        def follow(
            path: Path, rule: ClipRule, look: object, num_bytes: int, end_from: int | None
        ) -> FollowedUpload | None:
            if not is_room():
                return None
            self.end_from = end_from
            self.began_s.append(self.now_s)
            self.child = Child()
            return cast(FollowedUpload, self.child)

        expected = self.size if announced else None
        self.early = EarlyDecoding(path, RULE, None, follow, expected, clock=lambda: self.now_s)

    async def go_on(self, until: float = 1.0) -> None:
        """To that share of it, in a hundred steps of all."""
        while (share := self.now_s / self.seconds) < until - 1e-9:
            self.now_s += self.seconds / 100
            await self.early.arrived(round(self.size * (share + 0.01)))


@pytest.mark.parametrize("seconds", [0.05, 0.15])
async def test_what_is_here_at_once_is_not_begun(seconds: float) -> None:
    uploading = Uploading(FIRST, seconds)
    await uploading.go_on()
    assert uploading.child is None


async def test_a_slow_upload_is_begun_once_and_told_of_all_that_comes() -> None:
    uploading = Uploading(FIRST, 4.0)
    await uploading.go_on()
    uploading.early.ended(uploading.size)
    assert len(uploading.began_s) == 1
    assert 0.1 <= uploading.began_s[0] < 0.5
    assert uploading.child is not None
    assert uploading.child.told[-2:] == [uploading.size, "ended"]


async def test_a_trickle_is_begun_when_its_end_is_near() -> None:
    uploading = Uploading(FIRST, 100.0)
    await uploading.go_on()
    assert 89 <= uploading.began_s[0] <= 92


async def test_one_of_unknown_length_is_begun_as_soon_as_it_is_slow() -> None:
    uploading = Uploading(FIRST, 100.0, announced=False)
    await uploading.go_on()
    assert uploading.began_s[0] <= 5  # its index was there by then


async def test_an_index_that_comes_last_is_never_begun_and_no_longer_asked_for() -> None:
    uploading = Uploading(LAST, 4.0)
    assert uploading.early.patience_s < 1
    await uploading.go_on(0.5)
    assert uploading.early.patience_s == math.inf
    await uploading.go_on()
    assert uploading.child is None


async def test_an_index_that_comes_last_is_wanted_first_once_that_pays() -> None:
    uploading = Uploading(LAST, 4.0)
    first = BEGINS[LAST]
    assert uploading.early.wants_end(first, len(first)) is None, "it may be here at once"
    await uploading.go_on(0.5)
    end_from = uploading.early.wants_end(first, uploading.size // 2)
    assert end_from == index_behind_pictures(first, uploading.size)
    assert uploading.early.wants_end(first, uploading.size // 2) is None, "once"
    uploading.early.end_arrived(end_from)
    await uploading.go_on()
    assert uploading.child is not None
    assert uploading.end_from == end_from


@pytest.mark.parametrize(("path", "seconds"), [(FIRST, 4.0), (LAST, 0.15), (LAST, 100.0)])
async def test_no_end_is_wanted_where_it_does_not_pay(path: Path, seconds: float) -> None:
    uploading = Uploading(path, seconds)
    await uploading.go_on(0.5)
    assert uploading.early.wants_end(BEGINS[path], uploading.size // 2) is None


async def test_a_length_that_is_said_late_is_taken() -> None:
    uploading = Uploading(FIRST, 100.0, announced=False)
    uploading.early.expects(uploading.size)
    await uploading.go_on()
    assert uploading.began_s[0] >= 89


async def test_where_no_child_is_idle_it_is_asked_for_again() -> None:
    room: list[bool] = []
    uploading = Uploading(FIRST, 4.0, is_room=lambda: bool(room))
    await uploading.go_on(0.5)
    assert uploading.child is None
    room.append(True)
    await uploading.go_on()
    assert uploading.began_s[0] == pytest.approx(2.04)


async def test_the_last_byte_begins_nothing() -> None:
    uploading = Uploading(FIRST, 4.0, announced=False)
    uploading.now_s = 4.0
    await uploading.early.arrived(0)
    uploading.early.ended(uploading.size)
    assert uploading.child is None


async def test_whoever_leaves_gives_the_child_back() -> None:
    uploading = Uploading(FIRST, 4.0)
    with uploading.early:
        await uploading.go_on(0.5)
    assert uploading.child is not None
    assert uploading.child.told[-1] == "stop"
    assert await Uploading(FIRST, 4.0).early.frames() is None


async def test_an_upload_that_is_gone_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(FIRST.read_bytes())
    uploading = Uploading(path, 4.0)
    path.unlink()
    await uploading.go_on()
    assert uploading.child is None


async def test_others_are_served_while_a_long_index_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    others_served, was_served = threading.Event(), []

    def slow_head_of(file: BinaryIO, num_bytes: int, end_from: int | None) -> Head:
        was_served.append(others_served.wait(10))
        return head_of(file, num_bytes, end_from)

    monkeypatch.setattr(early, "head_of", slow_head_of)
    uploading = Uploading(FIRST, 4.0)
    uploading.now_s = 2.0
    arriving = asyncio.create_task(uploading.early.arrived(uploading.size // 2))
    await asyncio.sleep(0.01)
    others_served.set()
    await arriving
    assert was_served == [True]
    assert uploading.began_s == [2.0]
