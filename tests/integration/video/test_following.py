"""A child that decodes an upload while it arrives is given to whoever needs it; lost, it costs its upload nothing."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.clips import cached_clip, frozen, noise
from video.children import followed_upload
from video.children.followed_upload import FollowedUpload
from video.children.sandbox import Sandbox
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=8, height_px=64, width_px=96, resize="letterbox")
VIDEO = cached_clip(
    "followed.mp4", seconds=8, gop=40, pattern=noise, size=(320, 240), container_options=frozen(movflags="faststart")
)
CONTENT = VIDEO.read_bytes()
MOST = len(CONTENT) * 3 // 4


@asynccontextmanager
async def opened(num_children: int = 1) -> AsyncIterator[Sandbox]:
    sandbox = Sandbox(num_children=num_children, limits=LIMITS, timeout_s=20.0, address_space_bytes=2**31)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.close()


class Upload:
    """A file that grows."""

    def __init__(self, folder: Path, name: str = "a.mp4") -> None:
        self.path = folder / name
        self.path.touch()

    def come(self, num_bytes: int) -> int:
        self.path.write_bytes(CONTENT[:num_bytes])
        return num_bytes


async def until_read(sandbox: Sandbox, path: Path, num_bytes: int) -> None:
    """Until a child has read so far, and so has decoded all that comes before."""
    async with asyncio.timeout(30):
        while num_bytes not in [place for pid in sandbox.pids for place in places(pid, path)]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def places(pid: int, path: Path) -> list[int]:
    """How far a process has read a file that it has open."""
    return [file.position for file in psutil.Process(pid).open_files() if file.path == str(path)]


@asynccontextmanager
async def most_is_there(folder: Path) -> AsyncIterator[tuple[Sandbox, Upload, FollowedUpload]]:
    """An upload that the only child follows, and has read as far as it has come."""
    upload = Upload(folder)
    async with opened() as sandbox:
        following = sandbox.follow(upload.path, RULE, None, upload.come(MOST))
        assert following is not None
        await until_read(sandbox, upload.path, MOST)
        yield sandbox, upload, following


async def test_what_was_decoded_while_it_arrived_makes_the_same_clip(tmp_path: Path) -> None:
    async with most_is_there(tmp_path) as (sandbox, upload, following):
        following.arrived(upload.come(len(CONTENT)))
        following.ended()
        early = await following.frames()
        clip = await sandbox.decode(upload.path, RULE, early=early)
    whole = decode(str(VIDEO), RULE, LIMITS)
    np.testing.assert_array_equal(clip.frames_THWC, whole.frames_THWC)
    np.testing.assert_array_equal(clip.view_TB, whole.view_TB)
    assert clip.pts_s == whole.pts_s
    assert clip.info.frames_early == 8
    assert clip.info.frames_decoded == whole.info.frames_decoded
    assert early is not None
    assert early.busy_s > 0


async def test_the_only_child_is_given_to_whoever_needs_it_and_what_it_decoded_is_kept(tmp_path: Path) -> None:
    async with most_is_there(tmp_path) as (sandbox, upload, following):
        await sandbox.decode(VIDEO, RULE)  # the upload stands still, and does not hold it up
        early = await following.frames()
        assert early is not None
        assert len(early.packets) >= 3
        following.arrived(upload.come(len(CONTENT)))  # nobody hears it any more
        following.ended()
        clip = await sandbox.decode(upload.path, RULE, early=early)
        assert clip.info.frames_early >= 3
        assert sandbox.num_following == 0


async def test_half_of_the_children_follow_at_most_and_none_while_somebody_waits(tmp_path: Path) -> None:
    async with opened(2) as sandbox:
        uploads = [Upload(tmp_path, f"{number}.mp4") for number in range(3)]
        following = [sandbox.follow(one.path, RULE, None, one.come(MOST)) for one in uploads]
        assert following[0] is not None
        assert following[1:] == [None, None]
    async with opened(1) as sandbox:
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGSTOP)
        task = asyncio.create_task(sandbox.decode(VIDEO, RULE))
        await asyncio.sleep(0)
        assert sandbox.follow(uploads[0].path, RULE, None, MOST) is None
        os.kill(pid, signal.SIGCONT)
        await task


async def test_a_child_that_dies_costs_its_upload_nothing_but_time(tmp_path: Path) -> None:
    async with most_is_there(tmp_path) as (sandbox, upload, following):
        os.kill(sandbox.pids[0], signal.SIGKILL)
        assert await following.frames() is None
        following.arrived(upload.come(len(CONTENT)))
        following.ended()
        assert (await sandbox.decode(upload.path, RULE)).info.frames_early == 0


async def test_a_child_that_does_not_give_way_is_replaced(tmp_path: Path) -> None:
    async with most_is_there(tmp_path) as (sandbox, _, following):
        (pid,) = sandbox.pids
        os.kill(pid, signal.SIGSTOP)
        await sandbox.decode(VIDEO, RULE)
        assert await following.frames() is None
        assert pid not in sandbox.pids


async def test_an_upload_that_stops_is_left_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_upload, "PATIENCE_S", 0.2)
    upload = Upload(tmp_path)
    async with opened() as sandbox:
        following = sandbox.follow(upload.path, RULE, None, upload.come(MOST))
        assert following is not None
        await following.frames()
        assert sandbox.num_following == 0
        upload.come(len(CONTENT))
        await sandbox.decode(upload.path, RULE)


async def test_an_upload_that_vanishes_or_is_none_is_no_harm(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    async with opened() as sandbox:
        (pid,) = sandbox.pids
        following = sandbox.follow(tmp_path / "gone.mp4", RULE, None, 1000)
        assert following is not None
        assert await following.frames() is None
        upload.path.write_bytes(CONTENT[:200] + bytes(10_000))
        following = sandbox.follow(upload.path, RULE, None, 10_200)
        assert following is not None
        following.ended()
        assert await following.frames() is None
        following = sandbox.follow(upload.path, RULE, None, upload.come(MOST))
        assert following is not None
        upload.path.write_bytes(b"")  # as `drop` leaves it
        following.stop()
        await following.frames()
        await sandbox.decode(VIDEO, RULE)
        assert sandbox.pids == [pid]


async def test_a_sandbox_that_closes_ends_those_that_follow(tmp_path: Path) -> None:
    async with most_is_there(tmp_path) as (sandbox, _, following):
        pass
    assert await following.frames() is None
    assert sandbox.num_following == 0
