"""Frames that were decoded early, handed to a child that has no memory for them: it stays in step with its parent."""

import contextlib
import resource
from dataclasses import replace

import numpy as np
import psutil

from fovea.errors import VideoLimitExceeded
from tests.clips import cached_clip
from video.children.file_process import DecodeProcess
from video.clip import Clip, ClipRule, EarlyFrames, VideoLimits

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=4, height_px=96, width_px=96, resize="letterbox")
LARGE = replace(RULE, height_px=2048, width_px=2048)
LEFT_BYTES = 128 * 2**20  # of address space, where the early frames need 192 MiB
GOOD = cached_clip("good.mp4")


async def test_a_child_without_memory_for_early_frames_answers_and_hears_the_next_message() -> None:
    count = 4 * RULE.num_frames
    early = EarlyFrames(
        packets=tuple(range(count)),
        digests=("",) * count,
        frames_NHWC=np.zeros((count, LARGE.height_px, LARGE.width_px, 3), np.uint8),
        view_NB=np.zeros((count, 4), np.float32),
        displayed=((64, 48),) * count,
        num_decoded=count,
        busy_s=0.0,
    )
    child = await DecodeProcess.start(address_space_bytes=2**31, niceness=0)
    try:
        await child.ask(GOOD, RULE, LIMITS)
        most_bytes = psutil.Process(child.pid).memory_info().vms + LEFT_BYTES
        resource.prlimit(child.pid, resource.RLIMIT_AS, (most_bytes, 2**31))
        with contextlib.suppress(VideoLimitExceeded):  # there may be no memory for the clip, either
            await child.ask(GOOD, LARGE, LIMITS, early=early)
        assert isinstance(await child.ask(GOOD, RULE, LIMITS), Clip)
    finally:
        await child.end()
