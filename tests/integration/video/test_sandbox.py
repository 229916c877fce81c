"""Decoding processes under real faults: killed, stopped, starved, cancelled. Each costs its own request and no more."""

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from fovea.errors import DecodeCrashed, DecodeTimeout, Draining, Unavailable, VideoLimitExceeded, VideoUnreadable
from tests.clips import cached_clip, frozen, noise
from video.children.file_process import DecodeProcess, ProcessLost
from video.children.sandbox import Sandbox
from video.clip import ClipRule, VideoLimits
from video.file.decode import decode, plan_decoding

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=8, height_px=96, width_px=96, resize="letterbox")
GOOD = "good.mp4"

Open = Callable[..., Awaitable[Sandbox]]
_OPEN_PIPES: list[int] = []


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens sandboxes that are closed after the test."""
    sandboxes: list[Sandbox] = []

    async def open_one(**changes: float) -> Sandbox:
        how = {"num_children": 1, "timeout_s": 20.0, "address_space_bytes": 2**31, **changes}
        sandbox = Sandbox(limits=LIMITS, **how)  # type: ignore[arg-type]
        sandboxes.append(sandbox)
        await sandbox.start()
        return sandbox

    yield open_one
    for sandbox in sandboxes:
        await sandbox.close()


async def until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  what is waited for happens in another process
            await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def stopped_decode(sandbox: Sandbox) -> tuple[int, "asyncio.Task[object]"]:
    """A decode that hangs: its child is stopped before the request arrives. (pid, the waiting task)"""
    (pid,) = sandbox.pids
    os.kill(pid, signal.SIGSTOP)
    task: asyncio.Task[object] = asyncio.create_task(sandbox.decode(cached_clip(GOOD), RULE))
    await until(lambda: sandbox.num_running == 1)
    return pid, task


async def test_a_child_decodes_as_the_caller_itself_would(opened: Open) -> None:
    path = cached_clip("noise.mp4", pattern=noise)
    theirs, ours = await (await opened()).decode(path, RULE), decode(str(path), RULE, LIMITS)
    np.testing.assert_array_equal(theirs.frames_THWC, ours.frames_THWC)
    np.testing.assert_array_equal(theirs.view_TB, ours.view_TB)
    assert (theirs.pts_s, theirs.info) == (ours.pts_s, ours.info)


async def test_a_bad_video_is_refused_and_the_child_goes_on(opened: Open, tmp_path: Path) -> None:
    sandbox = await opened()
    pids = sandbox.pids
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(VideoUnreadable, match="send a complete video"):
        await sandbox.decode(bad, RULE)
    await sandbox.decode(cached_clip(GOOD), RULE)
    assert sandbox.pids == pids


async def taken_up(upload: Path) -> None:
    """Wait until a child reads `upload`: a pipe that nothing is written to, so that it gets no further."""
    writers: list[int] = []

    def reads() -> bool:
        with contextlib.suppress(OSError):  # nobody has opened it for reading yet
            writers.append(os.open(upload, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writers)

    await until(reads)
    _OPEN_PIPES.append(writers[0])


async def end_the_child(sandbox: Sandbox, with_signal: signal.Signals) -> None:
    (pid,) = sandbox.pids
    os.kill(pid, with_signal)
    await until(lambda: not is_alive(pid))
    os.close(_OPEN_PIPES.pop())


async def test_a_child_killed_at_work_costs_its_own_request_time_and_nothing_else(opened: Open, tmp_path: Path) -> None:
    sandbox = await opened()
    upload = tmp_path / "a.mp4"
    os.mkfifo(upload)
    tasks = [asyncio.create_task(sandbox.decode(path, RULE)) for path in (upload, cached_clip(GOOD))]
    await taken_up(upload)
    upload.unlink()
    shutil.copy(cached_clip(GOOD), upload)
    await end_the_child(sandbox, signal.SIGKILL)
    assert [clip.info.codec for clip in await asyncio.gather(*tasks)] == ["h264", "h264"]


@pytest.mark.parametrize(
    ("with_signal", "kind", "words"),
    [(signal.SIGKILL, Unavailable, "was killed, twice"), (signal.SIGSEGV, DecodeCrashed, "crashed on this video")],
)
async def test_a_video_that_two_children_die_of_is_blamed_only_where_the_decoder_crashed(
    opened: Open, tmp_path: Path, with_signal: signal.Signals, kind: type[Exception], words: str
) -> None:
    sandbox = await opened()
    upload = tmp_path / "a.mp4"
    os.mkfifo(upload)
    task = asyncio.create_task(sandbox.decode(upload, RULE))
    for _ in range(2):
        await taken_up(upload)
        await end_the_child(sandbox, with_signal)
    with pytest.raises(kind, match=words):
        await task
    await sandbox_recovers(sandbox)


async def test_whatever_the_decoder_stumbles_over_the_child_lives(opened: Open, tmp_path: Path) -> None:
    sandbox = await opened()
    pids = sandbox.pids
    folder = tmp_path / "a.mp4"
    folder.mkdir()  # reading it is an error of no kind that a video has
    with pytest.raises(VideoUnreadable, match="gave up"):
        await sandbox.decode(folder, RULE)
    assert (await sandbox.decode(cached_clip(GOOD), RULE)).info.codec == "h264"
    assert sandbox.pids == pids


async def test_what_decoding_costs_is_told_before_and_with_the_clip(opened: Open) -> None:
    sandbox = await opened()
    path = cached_clip(GOOD)
    price = plan_decoding(str(path), RULE, LIMITS).price
    assert price.pixels == price.frames * 320 * 240
    clip = await sandbox.decode(path, RULE)
    assert clip.info.decode_pixels == price.pixels


async def test_children_that_die_idle_fail_nobody(opened: Open) -> None:
    sandbox = await opened(num_children=2)
    for pid in sandbox.pids:
        os.kill(pid, signal.SIGKILL)  # the event loop has not noticed when the next request comes
    clip = await sandbox.decode(cached_clip(GOOD), RULE)
    assert clip.info.codec == "h264"
    await until(lambda: len(sandbox.pids) == 2)


async def test_a_video_that_no_child_lived_to_see_is_not_blamed(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await opened()

    async def die(child: DecodeProcess, *_: object, **__: object) -> None:
        child.kill()
        raise ProcessLost(began=False)

    monkeypatch.setattr(DecodeProcess, "ask", die)
    with pytest.raises(Unavailable) as refusal:
        await sandbox.decode(cached_clip(GOOD), RULE)
    assert refusal.value.retry_after_s
    monkeypatch.undo()
    assert (await sandbox.decode(cached_clip(GOOD), RULE)).info.codec == "h264"


async def test_a_hang_is_killed_at_the_timeout_and_the_limit_named(opened: Open) -> None:
    sandbox = await opened(timeout_s=2.0)
    pid, task = await stopped_decode(sandbox)
    with pytest.raises(DecodeTimeout, match=r"after 2 s"):
        await task
    await until(lambda: not is_alive(pid))
    await sandbox_recovers(sandbox)


async def sandbox_recovers(sandbox: Sandbox) -> None:
    await until(lambda: len(sandbox.pids) == 1)
    assert (await sandbox.decode(cached_clip(GOOD), RULE)).info.codec == "h264"


async def test_waiting_for_a_child_does_not_count_against_the_timeout(opened: Open) -> None:
    sandbox = await opened(timeout_s=2.0)
    _, hanging = await stopped_decode(sandbox)
    waiting = asyncio.create_task(sandbox.decode(cached_clip(GOOD), RULE))
    await until(lambda: sandbox.num_waiting == 1)
    with pytest.raises(DecodeTimeout):
        await hanging
    assert (await waiting).info.codec == "h264"
    assert sandbox.num_waiting == sandbox.num_running == 0


async def test_a_cancelled_decode_that_does_not_finish_soon_ends_its_child(opened: Open) -> None:
    sandbox = await opened()
    pid, task = await stopped_decode(sandbox)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not is_alive(pid))
    await sandbox_recovers(sandbox)


async def test_a_child_outlives_those_who_leave_as_soon_as_they_are_served(opened: Open) -> None:
    sandbox = await opened()
    pids = sandbox.pids
    for _ in range(5):
        pid, task = await stopped_decode(sandbox)
        task.cancel()
        await asyncio.wait([task])
        os.kill(pid, signal.SIGCONT)
        assert (await sandbox.decode(cached_clip(GOOD), RULE)).info.codec == "h264"
    assert sandbox.pids == pids


async def test_a_child_whose_upload_is_gone_goes_on_with_the_next_one(opened: Open, tmp_path: Path) -> None:
    sandbox = await opened()
    pids = sandbox.pids
    with pytest.raises(VideoUnreadable, match="removed"):
        await sandbox.decode(tmp_path / "gone.mp4", RULE)
    assert (await sandbox.decode(cached_clip(GOOD), RULE)).info.codec == "h264"
    assert sandbox.pids == pids


async def test_cancelling_one_who_waits_leaves_the_others_their_turn(opened: Open) -> None:
    sandbox = await opened()
    pid, running = await stopped_decode(sandbox)
    leaver, stayer = (asyncio.create_task(sandbox.decode(cached_clip(GOOD), RULE)) for _ in range(2))
    await until(lambda: sandbox.num_waiting == 2)
    leaver.cancel()
    os.kill(pid, signal.SIGCONT)
    await asyncio.wait([leaver])
    assert leaver.cancelled()
    assert await running
    assert await stayer
    assert sandbox.pids == [pid]


async def test_requests_are_served_in_the_order_they_came(opened: Open) -> None:
    sandbox = await opened()
    finished: list[int] = []

    async def one(number: int) -> None:
        await sandbox.decode(cached_clip(GOOD), RULE)
        finished.append(number)

    await asyncio.gather(*(one(number) for number in range(5)))
    assert finished == [0, 1, 2, 3, 4]


async def test_a_decoder_that_wants_too_much_memory_is_told_so_and_survives(opened: Open) -> None:
    sandbox = await opened(address_space_bytes=300 * 2**20)
    pids = sandbox.pids
    huge = ClipRule(num_frames=64, height_px=2000, width_px=2000, resize="stretch")
    with pytest.raises(VideoLimitExceeded, match="300 MiB of memory"):
        await sandbox.decode(cached_clip(GOOD), huge)
    await sandbox.decode(cached_clip(GOOD), RULE)
    assert sandbox.pids == pids


async def test_a_decoder_that_takes_missing_memory_for_damage_is_not_believed(opened: Open) -> None:
    options = frozen(x264_params="ref=16:bframes=3:b-pyramid=normal", preset="ultrafast")
    path = cached_clip(
        "large.mkv", pattern=noise, size=(1920, 1080), seconds=1.0, pix_fmt="yuv420p10le", options=options
    )
    sandbox = await opened(address_space_bytes=260 * 2**20)
    with pytest.raises(VideoLimitExceeded, match="260 MiB of memory"):
        await sandbox.decode(path, RULE)
    assert (await (await opened(address_space_bytes=768 * 2**20)).decode(path, RULE)).info.frames_damaged == 0


async def test_a_child_is_recycled_after_so_many_videos(opened: Open) -> None:
    sandbox = await opened(recycle_after=2)
    seen = set()
    for _ in range(4):
        await until(lambda: len(sandbox.pids) == 1)
        seen.update(sandbox.pids)
        await sandbox.decode(cached_clip(GOOD), RULE)
    assert len(seen) == 2


async def test_a_child_may_write_no_file_and_sees_no_secret(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEA_REDIS_URL", "redis://user:secret@127.0.0.1")
    sandbox = await opened(niceness=3)
    child = psutil.Process(sandbox.pids[0])
    assert child.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_AS) == (2**31, 2**31)
    with open(f"/proc/{child.pid}/oom_score_adj") as score:  # noqa: ASYNC230  no file that makes anyone wait
        assert score.read() == "1000\n"  # where memory is short, it goes first
    assert child.nice() == psutil.Process().nice() + 3
    assert not [name for name in child.environ() if "FOVEA" in name]


async def test_a_child_holds_no_descriptor_of_the_service(opened: Open, tmp_path: Path) -> None:
    with (tmp_path / "spool").open("w") as spool:
        os.set_inheritable(spool.fileno(), True)
        sandbox = await opened()
        folder = f"/proc/{sandbox.pids[0]}/fd"
        held = {os.readlink(f"{folder}/{descriptor}") for descriptor in os.listdir(folder)}
    assert spool.name not in held


async def test_nothing_is_left_behind(opened: Open) -> None:
    me = psutil.Process()
    await (await opened()).close()  # whatever asyncio opens once is open now
    gc.collect()  # what earlier tests left is not ours
    before = me.num_fds(), len(me.children()), len(asyncio.all_tasks())
    sandbox = await opened(num_children=2, timeout_s=1.0)
    for _ in range(5):
        os.kill(sandbox.pids[0], signal.SIGKILL)
        await asyncio.gather(*(sandbox.decode(cached_clip(GOOD), RULE) for _ in range(4)), return_exceptions=True)
    pids = sandbox.pids
    await sandbox.close()
    gc.collect()
    assert (me.num_fds(), len(me.children()), len(asyncio.all_tasks())) == before
    assert not any(is_alive(pid) for pid in pids)


async def test_closing_tells_whoever_decodes_or_waits(opened: Open) -> None:
    sandbox = await opened()
    _, running = await stopped_decode(sandbox)
    waiting = asyncio.create_task(sandbox.decode(cached_clip(GOOD), RULE))
    await until(lambda: sandbox.num_waiting == 1)
    await sandbox.close()
    for task in (running, waiting):
        with pytest.raises(Draining):
            await task
    with pytest.raises(Draining):
        await sandbox.decode(cached_clip(GOOD), RULE)
    assert sandbox.pids == []


async def test_children_that_cannot_start_are_a_clear_error(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(Unavailable, match="do not start"):
        await opened(num_children=2)


async def test_requests_are_told_when_children_no_longer_start(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await opened()
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    os.kill(sandbox.pids[0], signal.SIGKILL)
    with pytest.raises(Unavailable):
        await sandbox.decode(cached_clip(GOOD), RULE)
    monkeypatch.undo()


async def test_the_rate_of_decoding_is_measured_and_counts_no_video_that_was_left(opened: Open) -> None:
    sandbox = await opened()
    pid, task = await stopped_decode(sandbox)
    task.cancel()
    await asyncio.wait([task])
    assert sandbox.decode_rate.seconds_for(1) == 0.0
    os.kill(pid, signal.SIGCONT)
    await sandbox.decode(cached_clip(GOOD), RULE)
    assert 0.0 < sandbox.decode_rate.seconds_for(1) < 20.0


def test_children_die_with_the_service() -> None:
    program = f"""
import asyncio, os
from video.clip import VideoLimits
from video.children.sandbox import Sandbox

async def main():
    sandbox = Sandbox(num_children=2, limits={LIMITS!r}, timeout_s=5.0, address_space_bytes=2**31)
    await sandbox.start()
    print(*sandbox.pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        pids = [int(pid) for pid in service.stdout.readline().split()]
        assert len(pids) == 2
        service.kill()
    asyncio.run(until(lambda: not any(is_alive(pid) for pid in pids)))


def test_it_works_under_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        sandbox = Sandbox(num_children=2, limits=LIMITS, timeout_s=20.0, address_space_bytes=2**31)
        await sandbox.start()
        os.kill(sandbox.pids[0], signal.SIGKILL)
        clips = await asyncio.gather(*(sandbox.decode(cached_clip(GOOD), RULE) for _ in range(6)))
        assert all(clip.info.codec == "h264" for clip in clips)
        await sandbox.close()
        assert sandbox.pids == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
