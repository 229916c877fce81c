"""Small files that are costly to decode, and real children: good videos pass them, and their price is told."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from av.packet import Packet

from fovea.errors import Overloaded, VideoLimitExceeded
from tests.clips import cached_clip, write_bomb, write_clip
from tests.packets import remuxed
from video.children.pace import Estimate
from video.children.sandbox import Sandbox
from video.clip import ClipRule, VideoLimits
from video.file.decode import CostsMore, carry_out, decode, plan_decoding

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=3840 * 2160, frames=2000)
RULE = ClipRule(num_frames=4, height_px=32, width_px=32, resize="stretch")
FRAMES = 150  # 1.2 gigapixels, of which the last eighth is not needed: 5.5 s at the rate that is assumed at first
Open = Callable[..., Awaitable[Sandbox]]


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_bomb(tmp_path_factory.mktemp("bomb") / "bomb.mp4", frames=FRAMES)
    assert path.stat().st_size < 100_000
    return path


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    sandboxes: list[Sandbox] = []

    async def open_one(num_children: int, timeout_s: float = 120.0, **how: object) -> Sandbox:
        sandbox = Sandbox(
            num_children=num_children,
            limits=LIMITS,
            timeout_s=timeout_s,
            address_space_bytes=2**31,
            **how,  # type: ignore[arg-type]
        )
        sandboxes.append(sandbox)
        await sandbox.start()
        return sandbox

    yield open_one
    for sandbox in sandboxes:
        await sandbox.close()


@pytest.mark.parametrize("num_children", [1, 2])
async def test_good_videos_pass_bombs_that_came_before_them(opened: Open, bomb: Path, num_children: int) -> None:
    sandbox, order = await opened(num_children), list[str]()

    async def one(kind: str, path: Path) -> None:
        await sandbox.decode(path, RULE)
        order.append(kind)

    videos = [("bomb", bomb)] * 3 + [("good", cached_clip("good.mp4"))] * 4
    await asyncio.gather(*(one(*video) for video in videos))
    assert order == ["good"] * 4 + ["bomb"] * 3


async def test_a_bomb_is_told_with_its_price_before_it_is_decoded_and_may_be_refused(opened: Open, bomb: Path) -> None:
    heard: list[Estimate] = []
    sandbox = await opened(1, on_estimate=heard.append)

    def refuse(estimate: Estimate) -> None:
        raise Overloaded(str(estimate))

    with pytest.raises(Overloaded, match=r"1\.\d+ gigapixels in 1\d\d frames"):
        await sandbox.decode(bomb, RULE, on_costly=refuse)
    clip = await sandbox.decode(cached_clip("good.mp4"), RULE, on_costly=refuse)
    assert [estimate.price.pixels for estimate in heard][1] == clip.info.decode_pixels
    assert heard[0].price == plan_decoding(str(bomb), RULE, LIMITS).price


async def test_what_cannot_be_decoded_in_time_is_refused_at_once_with_its_price(opened: Open, bomb: Path) -> None:
    sandbox = await opened(1, timeout_s=1.0, costly_s=0.5)
    pids = sandbox.pids
    with pytest.raises(
        VideoLimitExceeded, match=r"takes about \d\.\d+ s .* more than the 3 s up to which it is tried; send"
    ) as refusal:
        await sandbox.decode(bomb, RULE)
    assert refusal.value.extra["limit_s"] == 3.0
    assert refusal.value.extra["decode_gpixels"] == pytest.approx(FRAMES * 3840 * 2160 / 1e9, rel=0.2)
    assert sandbox.pids == pids, "nothing was decoded"


async def test_a_costly_video_has_the_same_frames(opened: Open, bomb: Path) -> None:
    theirs, ours = await (await opened(1)).decode(bomb, RULE), decode(str(bomb), RULE, LIMITS)
    assert (theirs.pts_s, theirs.info) == (ours.pts_s, ours.info)
    assert (theirs.frames_THWC == ours.frames_THWC).all()


async def test_the_rate_is_measured_on_what_was_decoded(opened: Open, bomb: Path) -> None:
    sandbox = await opened(1)
    before = sandbox.pace.pixels_per_s
    await sandbox.decode(bomb, RULE)
    assert sandbox.pace.pixels_per_s != before
    assert sandbox.decode_rate.seconds_for(1) == 0, "what a costly one took is no measure for the others"


def called_a_keyframe(_: int, packet: Packet) -> Packet:
    packet.is_keyframe = True
    return packet


def test_a_video_that_lies_about_its_keyframes_does_not_pass_as_cheap(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", codec="mpeg4", seconds=4, gop=100)
    plan = plan_decoding(str(remuxed(source, tmp_path / "b.mp4", called_a_keyframe)), RULE, LIMITS)
    assert plan.price.pixels < plan.whole_price.pixels / 4
    with pytest.raises(CostsMore) as refusal:
        carry_out(plan, plan.price.pixels)
    assert refusal.value.price == plan.whole_price
    assert carry_out(plan, plan.whole_price.pixels).info.decode_pixels == plan.whole_price.pixels


async def test_beside_other_children_a_costly_video_is_decoded_with_what_they_leave_of_the_cores(
    opened: Open, bomb: Path
) -> None:
    sandbox = await opened(2)
    decoding = asyncio.create_task(sandbox.decode(bomb, RULE))
    before = psutil.Process(sandbox.pids[0]).nice()
    seen: set[int] = set()
    while not decoding.done():
        for pid in sandbox.pids:
            threads = psutil.Process(pid).threads()
            seen.update(os.getpriority(os.PRIO_PROCESS, thread.id) for thread in threads)
        await asyncio.sleep(0.01)
    assert seen == {before, 19}
    assert {psutil.Process(pid).nice() for pid in sandbox.pids} == {before}, "whatever comes next has its share again"
