"""A plain decode of all frames, to hold the sampled ones against.

Shape suffixes: H rows, W columns, C colour channels.
"""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from video.clip import Clip, ClipRule, VideoLimits
from video.file.decode import decode
from video.file.picture import Painter

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)


def rule(num_frames: int) -> ClipRule:
    return ClipRule(num_frames=num_frames, height_px=96, width_px=128, resize="stretch")


def sampled(path: Path, num_frames: int) -> Clip:
    return decode(str(path), rule(num_frames), LIMITS)


def every_frame(path: Path) -> list[NDArray[np.uint8]]:
    """As the model would see them, in order of display."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        painter = Painter(rule(1), stream.sample_aspect_ratio)
        return [painter.paint(frame)[0] for frame in container.decode(stream)]


def assert_as_a_whole_decode(path: Path, *, rate: int = 25) -> None:
    """Whatever is sampled, each frame equals the one that a plain decode shows at its time. `rate`: frames a second."""
    every = every_frame(path)
    for num_frames in (1, 2, 5, 8, 16):
        clip = sampled(path, num_frames)
        for pts_s, frame_HWC in zip(clip.pts_s, clip.frames_THWC, strict=True):
            np.testing.assert_array_equal(frame_HWC, every[round(pts_s * rate)])
